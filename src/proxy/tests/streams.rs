//! Bodies on their way: trailers, waiting for a go, events one by one, calls both ways, and much of everything.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

type Sent = UnsyncBoxBody<Bytes, Infallible>;
type Pieces = tokio::sync::mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// A body that is made as it goes.
fn body() -> (Pieces, Sent) {
    let (pieces, taken) = tokio::sync::mpsc::channel(1);
    let next = |mut taken: tokio::sync::mpsc::Receiver<_>| async move {
        taken.recv().await.map(|piece| (piece, taken))
    };
    (pieces, StreamBody::new(futures_util::stream::unfold(taken, next)).boxed_unsync())
}

/// A gRPC server, as far as HTTP goes: sends back each message as it comes, then the status with the trailers it got.
async fn calling() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("calling", async move {
        while let Ok((stream, _)) = listener.accept().await {
            Supervisor::new().spawn("calling connection", async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), service_fn(answer_call)).await.ok();
            });
        }
    });
    Upstream::new(address, Scheme::H2c, "calling")
}

async fn answer_call(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = hyper::Error>>, Infallible> {
    assert_eq!(request.headers()["te"], "trailers");
    let body = request.into_body();
    let frames = futures_util::stream::unfold((body, false), |(mut body, ended)| async move {
        if ended {
            return None;
        }
        match body.frame().await {
            Some(Ok(frame)) if frame.is_data() => Some((Ok(frame), (body, false))),
            Some(Ok(frame)) => {
                let mut trailers = frame.into_trailers().unwrap();
                trailers.insert("grpc-status", "0".parse().unwrap());
                Some((Ok(Frame::trailers(trailers)), (body, true)))
            }
            Some(Err(error)) => Some((Err(error), (body, true))),
            None => {
                let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                Some((Ok(Frame::trailers(trailers)), (body, true)))
            }
        }
    });
    Ok(Response::builder().header("content-type", "application/grpc").body(StreamBody::new(frames)).unwrap())
}

async fn caller(house: &House) -> http2::SendRequest<Sent> {
    let stream = TokioIo::new(house.tls("x.qa.example", &[b"h2"]).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    house.supervisor.spawn("client", async move { connection.await.unwrap_or_default() });
    sender
}

fn call(body: Sent) -> Request<Sent> {
    let request = Request::post("https://x.qa.example/shop.Cart/Add").header("te", "trailers");
    request.header("content-type", "application/grpc").body(body).unwrap()
}

#[tokio::test]
async fn calls_go_both_ways_at_once_and_end_with_trailers() {
    let house = House::new(true).await;
    house.publish(&[("x", 1, Answer::Proxy(calling().await))]);
    let mut sender = caller(&house).await;
    // One message each way, then many, each sent when the one before it has come back.
    for messages in [1, 20] {
        let (outgoing, body) = body();
        let answer = sender.send_request(call(body)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut incoming = answer.into_body();
        for number in 0..messages {
            let message = Bytes::from(format!("message {number}"));
            outgoing.send(Ok(Frame::data(message.clone()))).await.unwrap();
            let frame = incoming.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), message);
        }
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
        outgoing.send(Ok(Frame::trailers(trailers))).await.unwrap();
        drop(outgoing);
        let trailers = incoming.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert!(trailers["grpc-status"] == "0" && trailers["x-sum"] == "7");
    }
}

/// A container that takes one connection, and the way to speak for it.
async fn by_hand(house: &House) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    house.publish(&[("x", 1, Answer::Proxy(Upstream::new(address, Scheme::Http, "x")))]);
    listener
}

async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_u8()).await;
        text.push(
            read.unwrap_or_else(|_| panic!("{end:?} after {:?}", String::from_utf8_lossy(&text))).unwrap(),
        );
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn trailers_of_http_1_pass_both_ways() {
    let house = House::new(true).await;
    let listener = by_hand(&house).await;
    let mut client = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: x.qa.example\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(format!("{head}5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n").as_bytes()).await.unwrap();
    let (mut container, _) = listener.accept().await.unwrap();
    let seen = read_until(&mut container, "0\r\n").await.to_lowercase();
    assert!(seen.contains("te: trailers") && seen.contains("trailer: x-sum"), "{seen}");
    assert!(read_until(&mut container, "\r\n\r\n").await.eq_ignore_ascii_case("x-sum: 7\r\n\r\n"));
    let head = "HTTP/1.1 200 OK\r\nTrailer: x-took\r\nTransfer-Encoding: chunked\r\n\r\n";
    container.write_all(format!("{head}2\r\nok\r\n0\r\nX-Took: 3\r\n\r\n").as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "0\r\n").await.to_lowercase();
    assert!(answer.contains("trailer: x-took"), "{answer}");
    assert!(read_until(&mut client, "\r\n\r\n").await.eq_ignore_ascii_case("x-took: 3\r\n\r\n"));
}

#[tokio::test]
async fn a_client_is_told_to_go_on_only_when_there_is_somebody_to_take_it() {
    let house = House::new(true).await;
    house.publish(&[("x", 1, Answer::Replacing(None))]);
    let mut client = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: x.qa.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), client.read_u8()).await;
    assert!(early.is_err(), "nobody is there yet: {early:?}");
    let listener = by_hand(&house).await;
    let (mut container, _) = listener.accept().await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    let seen = read_until(&mut container, "hello").await.to_lowercase();
    assert!(!seen.contains("expect"), "it was answered already: {seen}");
    container.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert!(read_until(&mut client, "ok").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    let house = House::new(true).await;
    let listener = by_hand(&house).await;
    let mut client = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
    client
        .write_all(b"GET /events HTTP/1.1\r\nHost: x.qa.example\r\nAccept: text/event-stream\r\n\r\n")
        .await
        .unwrap();
    let (mut container, _) = listener.accept().await.unwrap();
    read_until(&mut container, "\r\n\r\n").await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    container.write_all(head.as_bytes()).await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.contains("text/event-stream"));
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        container.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
        read_until(&mut client, &event).await;
    }
    container.write_all(b"0\r\n\r\n").await.unwrap();
    read_until(&mut client, "0\r\n\r\n").await;
}

/// Who does not read holds up whoever sends: nothing gathers in between but what the kernel and a few buffers take.
#[tokio::test]
async fn a_reader_that_stops_stops_the_sender() {
    const MOST: usize = 48 * 1024 * 1024;
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let house = House::new(true).await;
        let listener = by_hand(&house).await;
        let mut client = house.tls("x.qa.example", &[protocol]).await.unwrap();
        let mut kept = None;
        if protocol == b"h2" {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
            house.supervisor.spawn("client", async move { connection.await.unwrap_or_default() });
            let mut sender = sender;
            let (sending, body) = body();
            drop(sending);
            let asked = sender.send_request(call(body));
            house.supervisor.spawn("reader", async move {
                let answer = asked.await;
                std::future::pending::<()>().await;
                drop(answer);
            });
        } else {
            client.write_all(b"GET / HTTP/1.1\r\nHost: x.qa.example\r\n\r\n").await.unwrap();
            kept = Some(client);
        }
        let (mut container, _) = listener.accept().await.unwrap();
        container.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
        let (chunk, mut written) = (vec![b'x'; 65_536], 0);
        while let Ok(sent) = tokio::time::timeout(Duration::from_millis(700), container.write(&chunk)).await {
            written += sent.unwrap();
            assert!(written < MOST, "{}", String::from_utf8_lossy(protocol));
        }
        drop(kept);
    }
}

#[tokio::test]
async fn much_passes_both_ways_unchanged() {
    const MUCH: usize = 32 * 1024 * 1024;
    let house = House::new(true).await;
    let listener = by_hand(&house).await;
    let mut client = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
    house.supervisor.spawn("container", async move {
        let (mut container, _) = listener.accept().await.unwrap();
        read_until(&mut container, "\r\n\r\n").await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n");
        container.write_all(head.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = container.split();
        assert_eq!(
            tokio::io::copy(&mut (&mut reader).take(MUCH as u64), &mut writer).await.unwrap(),
            MUCH as u64
        );
    });
    let head = format!("POST / HTTP/1.1\r\nHost: x.qa.example\r\nContent-Length: {MUCH}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(client);
    let block: Vec<u8> =
        (0..65_536_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
    let expected = block.clone();
    let sending = async {
        for _ in 0..MUCH / block.len() {
            writer.write_all(&block).await.unwrap();
        }
        // What the socket did not take lies in the TLS session until then.
        writer.flush().await.unwrap();
    };
    let receiving = async {
        assert!(read_until(&mut reader, "\r\n\r\n").await.starts_with("HTTP/1.1 200"));
        let mut got = vec![0; expected.len()];
        for _ in 0..MUCH / expected.len() {
            reader.read_exact(&mut got).await.unwrap();
            assert!(got == expected);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(sending, receiving) })
        .await
        .expect("an end");
}
