//! What is counted and told of requests.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::ports::traffic::Traffic;
use crate::ports::{AccessLog, AccessRecord, LogMark, PortResult};

/// Keeps what it is told.
#[derive(Default)]
pub(super) struct Seen(Mutex<Vec<AccessRecord>>);

#[async_trait]
impl AccessLog for Seen {
    fn record(&self, record: AccessRecord) {
        self.0.lock().unwrap().push(record);
    }

    async fn read(&self, _: EnvironmentId, _: Option<LogMark>) -> PortResult<(Vec<String>, LogMark)> {
        Ok((Vec::new(), LogMark::default()))
    }
}

impl House {
    /// The requests that were told of, once there are so many.
    async fn told(&self, number: usize) -> Vec<AccessRecord> {
        eventually("it is told", || self.seen.0.lock().unwrap().len() >= number).await;
        self.seen.0.lock().unwrap().clone()
    }

    fn traffic(&self) -> Option<Traffic> {
        let mut traffic = self.proxy.traffic();
        assert!(traffic.len() < 2, "{traffic:?}");
        traffic.pop()
    }
}

async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within ten seconds");
}

/// Reads a head and a body of five bytes, and answers with seven.
async fn taker() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("taker", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"hello") {
            stream.read_buf(&mut read).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\nwelcome").await.unwrap();
    });
    Upstream::new(address, Scheme::Http, "taker")
}

#[tokio::test]
async fn a_request_is_told_with_its_bytes_and_without_what_it_asked_by() {
    let house = House::new(false).await;
    house.publish(&[("x", 1, Answer::Proxy(taker().await))]);
    let head = "Host: X.qa.example\r\nUser-Agent: browser\r\nContent-Length: 5\r\nConnection: close\r\n";
    let answer = house.plain(&format!("POST /a?password=secret HTTP/1.1\r\n{head}\r\nhello")).await;
    assert!(answer.ends_with("welcome"), "{answer}");
    let [told] = house.told(1).await.try_into().unwrap();
    assert_eq!((told.method.as_str(), told.path.as_str()), ("POST", "/a?password=*"));
    assert_eq!((told.status, told.received, told.sent), (201, 5, 7));
    assert_eq!((told.host.as_str(), told.service.as_str()), ("x.qa.example", "web"));
    assert_eq!((told.client.as_str(), told.agent.as_str(), told.http), ("127.0.0.1", "browser", "1.1"));
    assert_eq!((told.environment, told.at), (EnvironmentId(1), Today.now()));
    assert!(told.upstream.is_some_and(|took| took <= told.total), "{told:?}");
    let traffic = house.traffic().unwrap();
    assert_eq!((traffic.environment.as_str(), traffic.classes), ("shop/<b>x</b>", [0, 1, 0, 0, 0]));
    assert_eq!((traffic.received, traffic.sent), (5, 7));
    assert_eq!(traffic.responses.buckets.iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn pages_are_told_of_too_as_long_as_there_is_an_environment() {
    let house = House::new(false).await;
    house.publish(&[("x", 1, page(Phase::Failed, ""))]);
    house.plain(&get("x")).await;
    house.plain(&get("nobody")).await;
    let told = house.told(1).await;
    assert_eq!((told[0].status, told[0].upstream), (503, None));
    assert_eq!(house.traffic().unwrap().classes, [0, 0, 0, 0, 1]);

    for phase in [Phase::Archiving, Phase::Archived, Phase::Destroying, Phase::Destroyed] {
        house.publish(&[("x", 2, page(phase, ""))]);
        assert!(house.plain(&get("x")).await.starts_with("HTTP/1.1 410"));
        assert_eq!(house.traffic(), None, "its series end with it");
    }
    assert_eq!(house.told(1).await.len(), 1, "so does its log");
}

#[tokio::test]
async fn waits_and_wakes_are_counted_and_stay_over_changes() {
    let house = House::new(false).await;
    for phase in [Phase::Asleep, Phase::Waking] {
        house.publish(&[("x", 1, page(phase, "")), ("x--api", 1, page(phase, ""))]);
    }
    let address = house.proxy.http_address().unwrap();
    let (asked, asking) = tokio::sync::oneshot::channel();
    house.supervisor.spawn("visitor", async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(get("x").as_bytes()).await.unwrap();
        asked.send(exchange(stream, "").await).ok();
    });
    eventually("somebody waits", || !house.proxy.take_visits().is_empty()).await;
    let begun = tokio::time::Instant::now();
    eventually("a moment has passed", || begun.elapsed() >= Duration::from_millis(5)).await;
    let (upstream, _) = echo("awake").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream.clone())), ("x--api", 1, Answer::Proxy(upstream))]);
    assert!(asking.await.unwrap().contains("awake"));
    let told = house.told(1).await;
    assert!(told[0].held >= Duration::from_millis(5) && told[0].held <= told[0].total, "{told:?}");
    let traffic = house.traffic().unwrap();
    assert_eq!((traffic.wakes, traffic.held.buckets.iter().sum::<u64>()), (1, 1));
    let (other, _) = echo("new").await;
    house.publish(&[("x", 2, Answer::Proxy(other))]);
    assert_eq!(house.traffic(), Some(traffic));
}

/// A container that takes requests and does not answer them.
async fn silent() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("silent", async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    Upstream::new(address, Scheme::Http, "silent")
}

#[tokio::test]
async fn what_a_container_takes_to_fail_is_no_wait_before_it() {
    const LIMIT: Duration = Duration::from_millis(60);
    let limits = Limits { upstream: Some(LIMIT), ..Limits::new() };
    let house = House::within(false, limits).await;
    house.publish(&[("x", 1, Answer::Proxy(silent().await))]);
    let head = get("x").replace("GET", "HEAD");
    for request in [get("x"), head] {
        assert!(house.plain(&request).await.starts_with("HTTP/1.1 504"));
    }
    for told in house.told(2).await {
        assert!(told.upstream.is_some_and(|took| took >= LIMIT) && told.held < LIMIT, "{told:?}");
    }
    assert_eq!(house.traffic().unwrap().responses.buckets.iter().sum::<u64>(), 2);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_told_of_and_nobody_elses_word_counts() {
    let house = House::new(false).await;
    let (upstream, _) = echo("told").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let ask = |more: &str| format!("GET / HTTP/1.1\r\nHost: x.qa.example\r\n{more}Connection: close\r\n\r\n");
    let lists = "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-For: 127.0.0.9\r\n";
    house.plain(&ask(lists)).await;
    let trusted_proxies = vec![crate::domain::network::Network::parse("127.0.0.0/8").unwrap()];
    house.proxy.tune(&crate::proxy::Bounds { trusted_proxies, ..Default::default() });
    for more in [lists, "X-Real-IP: 2001:db8::7\r\n", "", "X-Real-IP: nobody\r\n"] {
        house.plain(&ask(more)).await;
    }
    let told: Vec<String> = house.told(5).await.into_iter().map(|told| told.client).collect();
    assert_eq!(told, ["127.0.0.1", "192.0.2.1", "2001:db8::7", "127.0.0.1", "127.0.0.1"]);
}

#[tokio::test]
async fn a_tunnel_is_counted_while_it_is_open() {
    let house = House::new(false).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    house.supervisor.spawn("echo", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let upstream = Upstream::new(address, Scheme::Http, "ws");
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://x.qa.example/", stream).await.unwrap();
    socket.send(tokio_tungstenite::tungstenite::Message::text("hello")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let traffic = house.traffic().unwrap();
    assert_eq!((traffic.upgrades, traffic.classes[0]), (1, 1));
    // Heads, a mask, five bytes: while it is open, not when it is over.
    let bytes = || house.traffic().map(|traffic| (traffic.received, traffic.sent));
    eventually("its bytes are counted", || bytes() == Some((2 + 4 + 5, 2 + 5))).await;
    socket.close(None).await.unwrap();
    drop(socket);
    eventually("it is closed", || house.traffic().unwrap().upgrades == 0).await;
    assert_eq!(house.told(1).await[0].status, 101);
}
