//! Headers by which a client says what only a proxy may say.

use super::frames::{Came, Frames};
use super::*;

/// None of the values may arrive; each has a six in it that nobody else has.
const SPOOFED: &[&str] = &[
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.7",
    "x-fOrWaRdEd-fOr: 6.6.6.6",
    "X-Forwarded-Proto: 6.6.6.6",
    "X-Forwarded-Host: 6.6.6.6",
    "X-Forwarded-Port: 6.6.6.6",
    "X-Forwarded-Server: 6.6.6.6",
    "X-Forwarded-Prefix: /6.6.6.6",
    "X-Forwarded-Ssl: 6.6.6.6",
    "X-Real-IP: 6.6.6.6",
    "X-Real-Ip: 6.6.6.6\r\nX-Real-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6;host=6.6.6.6;proto=http",
    "Forwarded: for=a\r\nForwarded: for=6.6.6.6",
    "X_Forwarded_For: 6.6.6.6",
    "X_Forwarded-Proto: 6.6.6.6",
    "X-Real_IP: 6.6.6.6",
    "Proxy: http://6.6.6.6",
    "X-Drey-Environment: 6.6.6.6",
    "Proxy-Authorization: Basic 6.6.6.6",
    "Connection: X-Forwarded-For\r\nX-Forwarded-For: 6.6.6.6",
    "Connection: X-Secret\r\nX-Secret: 6.6.6.6",
];

/// What the proxy says itself, whatever the client says.
const OWN: [&str; 6] = [
    "x-forwarded-for: 127.0.0.1",
    "x-real-ip: 127.0.0.1",
    "x-forwarded-proto: https",
    "x-forwarded-host: x.qa.example:8443",
    "x-forwarded-port: 8443",
    "forwarded: for=127.0.0.1;host=\"x.qa.example:8443\";proto=https",
];

fn check(spoofed: &str, seen: &str) {
    let seen = seen.to_lowercase();
    assert!(!seen.contains("6.6.6."), "{spoofed}: {seen}");
    for own in OWN {
        assert_eq!(seen.matches(own).count(), 1, "{spoofed}, {own}: {seen}");
        let (name, _) = own.split_once(':').unwrap();
        assert_eq!(seen.matches(&format!("\n{name}:")).count(), 1, "{spoofed}, {name}: {seen}");
    }
}

#[tokio::test]
async fn nobody_says_for_the_proxy_who_the_client_is() {
    let house = House::new(true).await;
    let (upstream, _) = echo("target").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    for spoofed in SPOOFED {
        let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
        let closing = if spoofed.contains("Connection") { "" } else { "Connection: close\r\n" };
        let head = format!("GET / HTTP/1.1\r\nHost: x.qa.example:8443\r\n{closing}{spoofed}\r\n\r\n");
        // Where the connection stays, a second request ends it.
        let last = "GET / HTTP/1.1\r\nHost: nobody.qa.example\r\nConnection: close\r\n\r\n";
        let answer = exchange(stream, &format!("{head}{}", if closing.is_empty() { last } else { "" })).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{spoofed}: {answer}");
        check(spoofed, answer.split("HTTP/1.1 404").next().unwrap());
    }
}

/// A connection's own option names a header of the proxy: it stays.
#[tokio::test]
async fn connection_options_take_nothing_of_the_proxy_away() {
    let house = House::new(true).await;
    let (upstream, _) = echo("target").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    for option in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Host", "X-Forwarded-Proto"] {
        let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
        let head =
            format!("GET / HTTP/1.1\r\nHost: x.qa.example:8443\r\nConnection: close, {option}\r\n\r\n");
        check(option, &exchange(stream, &head).await);
    }
}

#[tokio::test]
async fn spoofed_headers_of_http_2_arrive_as_little() {
    let house = House::new(true).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Http, "x");
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let single = SPOOFED.iter().filter(|spoofed| !spoofed.contains("Connection: "));
    let lines: Vec<String> =
        single.flat_map(|spoofed| spoofed.split("\r\n")).map(str::to_lowercase).collect();
    let mut headers =
        vec![(":method", "GET"), (":scheme", "https"), (":authority", "x.qa.example:8443"), (":path", "/")];
    headers.extend(lines.iter().map(|line| line.split_once(": ").unwrap()));
    let (told, hears) = tokio::sync::oneshot::channel();
    house.supervisor.spawn("container", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        told.send(String::from_utf8(head).unwrap()).ok();
    });
    let mut frames = Frames::open(&house, "x.qa.example").await;
    assert_eq!(frames.ask(&headers, &[]).await, Came::Status(200));
    check("all of them", &hears.await.unwrap());
}
