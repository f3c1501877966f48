//! What waits, and for how long.

use super::*;

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
    Upstream { address, scheme: Scheme::Http, container: "agreeing".into() }
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
    assert!(!matches!(said, Some(Ok(_))), "{said:?}");
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
