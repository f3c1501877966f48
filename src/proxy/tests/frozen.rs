//! What is open when containers are frozen: nothing comes from them any more, and nothing breaks off by itself.

use super::*;

/// A container that begins to answer at `/stream`, and is silent from then on; at any other path from the beginning on.
async fn silent() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Http, "silent");
    Supervisor::new().spawn("silent", async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
            if head.starts_with(b"GET /stream") {
                let begin = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(format!("{begin}9\r\ndata: 1\n\n\r\n").as_bytes()).await.unwrap();
            }
            open.push(stream);
        }
    });
    upstream
}

async fn ask(house: &House, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x.qa.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn until(house: &House, open: usize) {
    let began = std::time::Instant::now();
    while house.proxy.presence(EnvironmentId(1)).requests != open {
        assert!(began.elapsed() < Duration::from_secs(20), "never {open} are open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What still comes, to the end of the connection or of an answer of the proxy's own.
async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("wakes it") {
        let got = tokio::time::timeout(Duration::from_secs(20), stream.read_buf(&mut read)).await.unwrap();
        if got.unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn who_waits_is_told_and_streams_end() {
    let house = House::new(false).await;
    let frozen = silent().await;
    house.publish(&[("x", 1, Answer::Proxy(frozen))]);
    let mut streams = ask(&house, "/stream").await;
    let mut begun = Vec::new();
    while !begun.ends_with(b"data: 1\n\n\r\n") {
        assert!(streams.read_buf(&mut begun).await.unwrap() > 0);
    }
    let mut waits = ask(&house, "/slow").await;
    until(&house, 2).await;
    house.publish(&[("x", 1, page(Phase::Asleep, ""))]);
    house.proxy.dismiss(EnvironmentId(1)).await;
    house.proxy.cut(EnvironmentId(7));
    assert_eq!(house.proxy.presence(EnvironmentId(1)).requests, 2, "another one was frozen");
    let mut knocks = house.proxy.knocks().unwrap();
    house.proxy.cut(EnvironmentId(1));

    let told = rest(&mut waits).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 2"), "{told}");
    assert!(told.contains("Put to sleep"), "{told}");
    assert_eq!(rest(&mut streams).await, "", "it breaks off, and is not taken for the whole");
    until(&house, 0).await;
    assert!(knocks.try_recv().is_err(), "what was open wakes nothing");

    let (awake, _) = echo("awake").await;
    house.publish(&[("x", 2, Answer::Proxy(awake))]);
    assert!(house.plain(&get("x")).await.contains("awake"), "who comes later is not cut");
}

#[tokio::test]
async fn a_stream_over_http_2_ends_and_its_neighbours_stay() {
    let house = House::new(true).await;
    let (frozen, (other, _)) = (silent().await, echo("other").await);
    house.publish(&[("x", 1, Answer::Proxy(frozen))]);
    let stream = house.tls("x.qa.example", &[b"h2"]).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    Supervisor::new().spawn("connection", async move {
        connection.await.ok();
    });
    let request = |path: &str| {
        let uri = format!("https://x.qa.example{path}");
        http::Request::get(uri).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap()
    };
    let mut body = sender.send_request(request("/stream")).await.unwrap().into_body();
    let first = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "data: 1\n\n");
    house.publish(&[("x", 1, page(Phase::Asleep, ""))]);
    house.proxy.cut(EnvironmentId(1));
    let end = tokio::time::timeout(Duration::from_secs(20), http_body_util::BodyExt::frame(&mut body)).await;
    assert!(end.unwrap().unwrap().is_err(), "it is reset");
    house.publish(&[("x", 2, Answer::Proxy(other))]);
    assert_eq!(sender.send_request(request("/")).await.unwrap().status(), 200, "on the same connection");
}
