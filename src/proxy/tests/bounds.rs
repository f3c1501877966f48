//! Times, numbers and trust as they are configured, also while the proxy runs.

use super::*;
use crate::domain::network::Network;
use crate::proxy::Bounds;

async fn open(house: &House) -> TcpStream {
    TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap()
}

/// Whether the proxy keeps the connection.
async fn is_served(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: nobody.qa.example\r\n\r\n").await;
    let mut buffer = [0; 2048];
    sent.is_ok() && stream.read(&mut buffer).await.is_ok_and(|read| read > 0)
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_a_trusted_proxy_any_number() {
    let house = House::new(false).await;
    house.publish(&[]);
    let bounds = Bounds { connections_per_address: Some(2), ..Bounds::default() };
    house.proxy.tune(&bounds);
    let (mut first, mut second) = (open(&house).await, open(&house).await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    assert!(!is_served(&mut open(&house).await).await);
    assert!(is_served(&mut first).await, "those that are there stay");
    drop(second);
    let mut third = open(&house).await;
    while !is_served(&mut third).await {
        third = open(&house).await;
    }
    let trusted_proxies = vec![Network::parse("127.0.0.0/8").unwrap()];
    house.proxy.tune(&Bounds { trusted_proxies, ..bounds });
    assert!(is_served(&mut open(&house).await).await);
}

#[tokio::test]
async fn what_a_trusted_proxy_says_reaches_the_container() {
    let house = House::new(false).await;
    let (upstream, _) = echo("told").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let request = "GET / HTTP/1.1\r\nHost: x.qa.example\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
                   Connection: close\r\n\r\n";
    let answer = house.plain(request).await.to_lowercase();
    assert!(!answer.contains("192.0.2.1") && answer.contains("x-forwarded-proto: http\r\n"), "{answer}");
    let trusted_proxies = vec![Network::parse("127.0.0.1").unwrap()];
    house.proxy.tune(&Bounds { trusted_proxies, ..Bounds::default() });
    let answer = house.plain(request).await.to_lowercase();
    for told in [
        "x-forwarded-for: 192.0.2.1, 127.0.0.1\r\n",
        "x-forwarded-proto: https\r\n",
        "x-real-ip: 192.0.2.1\r\n",
    ] {
        assert!(answer.contains(told), "{told}: {answer}");
    }
}

#[tokio::test]
async fn the_head_of_a_request_may_have_so_many_bytes() {
    let house = House::new(false).await;
    let (upstream, _) = echo("there").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let with = |bytes: usize| get("x").replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(bytes)));
    let status = async |bytes: usize| house.plain(&with(bytes)).await.get(..12).map(str::to_owned);
    let ok = || Some("HTTP/1.1 200".to_owned());
    let too_large = || Some("HTTP/1.1 431".to_owned());
    assert_eq!((status(30_000).await, status(70_000).await), (ok(), too_large()));
    house.proxy.tune(&Bounds { header_bytes: 16_384, ..Bounds::default() });
    assert_eq!((status(10_000).await, status(30_000).await), (ok(), too_large()));
    house.proxy.tune(&Bounds { header_bytes: 200_000, ..Bounds::default() });
    assert_eq!(status(100_000).await, ok());
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time_and_a_tunnel_is_not() {
    let house = House::new(false).await;
    house.proxy.tune(&Bounds { idle: Duration::from_millis(400), ..Bounds::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Http, "ws");
    house.supervisor.spawn("echo", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            socket.send(message).await.ok();
        }
    });
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let (mut socket, _) =
        tokio_tungstenite::client_async("ws://x.qa.example/", open(&house).await).await.unwrap();
    let mut idle = open(&house).await;
    assert!(is_served(&mut idle).await);
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), idle.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "it was idle for longer");
    let message = tokio_tungstenite::tungstenite::Message::text("still here");
    socket.send(message.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), message);
}
