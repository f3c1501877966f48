//! curl as the client: another maker's HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::process::Command;

use super::*;

/// A container that gives back what it was sent, below the method.
async fn mirror() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("mirror", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answers = service_fn(|request: Request<hyper::body::Incoming>| async move {
                let mut answer = format!("{}\n", request.method()).into_bytes();
                answer.extend_from_slice(&request.into_body().collect().await?.to_bytes());
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(answer))))
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answers);
            Supervisor::new().spawn("mirror connection", async move {
                connection.await.ok();
            });
        }
    });
    Upstream::new(address, Scheme::Http, "mirror")
}

/// What curl got, and behind it how: status, version, number of connections.
#[expect(clippy::disallowed_methods, reason = "the test's own program, ended with it")]
async fn curl(house: &House, arguments: &[&str]) -> (Vec<u8>, String) {
    let port = house.proxy.https_address().unwrap().port();
    let (url, to) = (format!("https://x.qa.example:{port}/a"), format!("x.qa.example:{port}:127.0.0.1"));
    let mut command = Command::new("curl");
    command.args([
        "-sk",
        "-m",
        "30",
        "--resolve",
        &to,
        "-w",
        "%{stderr}%{http_code} %{http_version} %{num_connects} ",
    ]);
    command.args(arguments).args([&url, &url]).kill_on_drop(true);
    let got = command.output().await.unwrap();
    assert!(got.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&got.stderr));
    (got.stdout, String::from_utf8(got.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_what_it_asks_for_and_keeps_its_connection() {
    let house = House::new(true).await;
    house.publish(&[("x", 1, Answer::Proxy(mirror().await))]);
    let large = house.folder.path().join("large");
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    std::fs::write(&large, &content).unwrap();
    let upload = format!("@{}", large.display());
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let how = format!("200 {version} 1 200 {version} 0 ");
        assert_eq!(curl(&house, &[option]).await, (b"GET\nGET\n".to_vec(), how.clone()));
        assert_eq!(
            curl(&house, &[option, "-X", "DELETE"]).await,
            (b"DELETE\nDELETE\n".to_vec(), how.clone())
        );
        // Large enough for `Expect: 100-continue`.
        let (got, how_it_went) = curl(&house, &[option, "--data-binary", &upload]).await;
        let wanted = [b"POST\n", content.as_slice(), b"POST\n", content.as_slice()].concat();
        assert!(got == wanted, "{option}: {} bytes of {}", got.len(), wanted.len());
        assert_eq!(how_it_went, how);
        let chunked =
            curl(&house, &[option, "-H", "Transfer-Encoding: chunked", "--data-binary", "x=1"]).await;
        assert_eq!(chunked, (b"POST\nx=1POST\nx=1".to_vec(), how));
    }
}
