//! What waits, and for how long.

use std::time::Instant;

use super::*;

async fn silent() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("silent", async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    Upstream::new(address, Scheme::Https, "silent")
}

/// A server that agrees to an upgrade and then says nothing.
async fn agreeing() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("agreeing", async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(tokio_tungstenite::accept_async(stream).await);
        }
    });
    Upstream::new(address, Scheme::Http, "agreeing")
}

#[tokio::test]
async fn an_open_websocket_does_not_hold_up_the_end() {
    let limits = Limits { tunnel_grace: Duration::from_millis(100), ..Limits::new() };
    let house = House::within(false, limits).await;
    house.publish(&[("x", 1, Answer::Proxy(agreeing().await))]);
    let stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://x.qa.example/", stream).await.unwrap();
    assert!(house.supervisor.finish(Duration::from_secs(5)).await);
    let said = tokio::time::timeout(Duration::from_secs(1), socket.next()).await.unwrap();
    assert!(!matches!(&said, Some(Ok(message)) if !message.is_close()), "{said:?}");
}

#[tokio::test]
async fn before_the_first_table_no_branch_is_called_unknown() {
    let house = House::holding(Duration::from_millis(100)).await;
    let answer = house.plain(&get("x")).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: "), "{answer}");
    house.publish(&[]);
    assert!(house.plain(&get("x")).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_request_waits_for_the_first_table() {
    let house = House::new(false).await;
    let address = house.proxy.http_address().unwrap();
    let (asked, asking) = tokio::sync::oneshot::channel();
    house.supervisor.spawn("visitor", async move {
        let stream = TcpStream::connect(address).await.unwrap();
        asked.send(exchange(stream, &get("x")).await).ok();
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (upstream, _) = echo("first").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    assert!(asking.await.unwrap().contains("first\n"));
}

#[tokio::test]
async fn a_connection_may_be_idle_longer_than_a_head_may_take() {
    let house = House::within(false, Limits { head: Duration::from_millis(300), ..Limits::new() }).await;
    let (upstream, _) = echo("kept").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let mut stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let mut buffer = vec![0; 4096];
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x.qa.example\r\n\r\n").await.unwrap();
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    stream.write_all(b"GET / HT").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut buffer)).await;
    assert!(ended.is_ok(), "a head that does not end is not waited for");
}

#[tokio::test]
async fn a_hold_ends_in_time_though_the_container_takes_the_connection_and_says_nothing() {
    let house = House::holding(Duration::from_millis(500)).await;
    house.publish(&[("x", 1, Answer::Replacing(Some(silent().await)))]);
    let began = Instant::now();
    let answer = house.plain(&get("x")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_malformed_chunk_is_the_visitors_fault() {
    let house = House::new(false).await;
    let (upstream, _) = echo("target").await;
    // Answers nothing before the body is there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let patient = Upstream { address: listener.local_addr().unwrap(), ..upstream };
    Supervisor::new().spawn("patient", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
    });
    house.publish(&[("x", 1, Answer::Proxy(patient))]);
    let head = "POST / HTTP/1.1\r\nHost: x.qa.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunk in ["5\r\nhelloXX\r\n0\r\n\r\n", "5\r\nhello\r\n-1\r\n"] {
        let answer = house.plain(&format!("{head}{chunk}")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{chunk:?}: {answer}");
        assert!(answer.contains("connection: close"), "{chunk:?}: {answer}");
    }
}
