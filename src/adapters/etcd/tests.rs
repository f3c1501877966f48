use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers each connection with the next of these, and tells what was asked.
async fn server(answers: Vec<String>) -> (String, impl Future<Output = Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let mut text = String::new();
            while !text.contains('}') {
                let length = stream.read(&mut bytes).await.unwrap();
                text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
            }
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
            stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
            asked.push(text);
        }
        asked
    };
    (address, served)
}

fn etcd(address: &str) -> Etcd {
    Etcd::parse(&format!("etcd://{address}/drey")).unwrap()
}

#[tokio::test]
async fn what_lies_at_the_key_is_read_and_its_absence_told() {
    let held = r#"{"header":{"revision":"7"},"kvs":[{"value":"YSA9IDE=","mod_revision":"3"}],"count":"1"}"#;
    let none = r#"{"header":{"revision":"7"}}"#;
    let answers = [held, none, r#"{"error":"etcdserver: user name is empty","code":3}"#, "<html>", ""];
    let (address, served) = server(answers.map(str::to_owned).to_vec()).await;
    let etcd = etcd(&address);
    let asked = async {
        assert_eq!(etcd.get().await, Ok(Held { text: "a = 1".to_owned(), revision: 7 }));
        for told in ["there is no key /drey", "user name is empty", "no JSON", "said nothing"] {
            let error = etcd.get().await.unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    };
    let (asked, ()) = tokio::join!(served, asked);
    assert!(asked[0].starts_with("POST /v3/kv/range HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains(&BASE64.encode(b"/drey")), "{}", asked[0]);
}

#[tokio::test]
async fn a_change_is_told_and_a_stream_that_ends_is_no_change() {
    let created = "{\"result\":{\"header\":{},\"created\":true}}\n";
    let event = "{\"result\":{\"events\":[{\"kv\":{\"key\":\"x\"}}]}}\n";
    let compacted = "{\"result\":{\"canceled\":true,\"compact_revision\":\"9\"}}\n";
    let answers = vec![format!("{created}{event}"), created.to_owned(), format!("{created}{compacted}")];
    let (address, served) = server(answers).await;
    let etcd = etcd(&address);
    let asked = async {
        assert_eq!(etcd.changed_after(7).await, Ok(()));
        assert!(etcd.changed_after(7).await.unwrap_err().contains("the watch ended"));
        assert!(etcd.changed_after(7).await.unwrap_err().contains("compact_revision"));
    };
    let (asked, ()) = tokio::join!(served, asked);
    assert!(asked[0].contains("\"start_revision\":\"8\""), "{}", asked[0]);
}

#[tokio::test]
async fn a_server_that_is_away_is_passed_over() {
    let held = r#"{"header":{"revision":"1"},"kvs":[{"value":""}]}"#;
    let (address, served) = server(vec![held.to_owned()]).await;
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let etcd = etcd(&format!("{away},{address}"));
    let (_, held) = tokio::join!(served, etcd.get());
    assert_eq!(held.unwrap().text, "");
    let told = Etcd::parse(&format!("etcd://{away}/k")).unwrap().get().await.unwrap_err();
    assert!(told.contains(&away.to_string()), "{told}");
}
