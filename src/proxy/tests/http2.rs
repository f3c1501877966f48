//! HTTP/2 from real clients.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

type Piece = Result<Frame<Bytes>, std::convert::Infallible>;
type ClientBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

async fn client(house: &House, name: &'static str) -> SendRequest<ClientBody> {
    let stream = house.tls(name, &[b"h2"]).await.unwrap();
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    house.supervisor.spawn("client", async move {
        connection.await.ok();
    });
    sender
}

fn post(host: &str, body: ClientBody) -> http::Request<ClientBody> {
    http::Request::post(format!("https://{host}.qa.example/")).body(body).unwrap()
}

fn whole(text: &'static str) -> ClientBody {
    Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync()
}

/// A server that reads a head and `body` bytes, no more, then writes each piece after a pause, and keeps the
/// connection.
async fn slow(body: usize, answer: &'static [&'static str], pause: Duration) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("slow", async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
                head.push(byte[0]);
            }
            stream.read_exact(&mut vec![0; body]).await.ok();
            for piece in answer {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::time::sleep(pause).await;
            }
            kept.push(stream);
        }
    });
    Upstream::new(address, Scheme::Http, "slow")
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head() {
    let house = House::within(true, Limits { head: Duration::from_millis(300), ..Limits::new() }).await;
    let pieces = &["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na", "b", "c"];
    let upstream = slow(0, pieces, Duration::from_millis(400)).await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let mut sender = client(&house, "x.qa.example").await;
    let answer = sender.send_request(post("x", whole("hello\nworld"))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "abc");
}

#[tokio::test]
async fn a_body_may_look_like_an_ambiguous_head() {
    let house = House::new(true).await;
    let upstream =
        slow(0, &["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], Duration::ZERO).await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let mut sender = client(&house, "x.qa.example").await;
    for body in [
        "a\nb\nGET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "a\nTransfer-Encoding: identity\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
    ] {
        let answer = sender.send_request(post("x", whole(body))).await.unwrap();
        assert_eq!(answer.status(), 200, "{body}");
    }
}

#[tokio::test]
async fn who_sends_nothing_after_the_handshake_is_sent_away() {
    let house = House::within(true, Limits { head: Duration::from_millis(200), ..Limits::new() }).await;
    for begin in [&b""[..], b"PRI * HTTP/2.0\r\n\r\n"] {
        let mut stream = house.tls("x.qa.example", &[b"h2"]).await.unwrap();
        stream.write_all(begin).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok());
    }
}

#[tokio::test]
async fn what_was_agreed_upon_is_what_is_spoken() {
    let house = House::new(true).await;
    let (upstream, count) = echo("target").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let request = "GET / HTTP/1.1\r\nHost: x.qa.example\r\n\r\n";
    let agreed = house.tls("x.qa.example", &[b"h2"]).await.unwrap();
    assert!(
        !exchange(agreed, request).await.contains("HTTP/1.1"),
        "no HTTP/1.1 where HTTP/2 was agreed upon"
    );
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for offered in [&[&b"http/1.1"[..]][..], &[]] {
        let stream = house.tls("x.qa.example", offered).await.unwrap();
        let answer = exchange(stream, preface).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_upload_that_is_not_read_does_not_hold_up_others() {
    let house = House::new(true).await;
    let stalled = slow(0, &[], Duration::ZERO).await;
    let ready = slow(5, &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], Duration::ZERO).await;
    house.publish(&[("x", 1, Answer::Proxy(stalled)), ("y", 1, Answer::Proxy(ready))]);
    let sender = client(&house, "x.qa.example").await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let endless = futures_util::stream::repeat_with(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Piece::Ok(Frame::data(Bytes::from(vec![b'x'; 65_536])))
    });
    let mut uploading = sender.clone();
    house.supervisor.spawn("upload", async move {
        uploading.send_request(post("x", StreamBody::new(endless).boxed_unsync())).await.ok();
    });
    // Until it has filled whatever it may fill.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut other = sender;
    let asked = other.send_request(post("y", whole("hello")));
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let body = tokio::time::timeout(Duration::from_secs(5), answer.into_body().collect()).await;
    assert_eq!(body.unwrap().unwrap().to_bytes(), "ok");
}
