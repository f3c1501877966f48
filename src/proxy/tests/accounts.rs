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
    socket.close(None).await.unwrap();
    drop(socket);
    eventually("it is closed", || house.traffic().unwrap().upgrades == 0).await;
    assert_eq!(house.told(1).await[0].status, 101);
}
