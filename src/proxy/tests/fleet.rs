//! Several containers of one service.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::backend::Balance;
use crate::domain::route::Replica;

/// One container, which can be ended and come back.
struct Container {
    address: SocketAddr,
    word: &'static str,
    ending: CancellationToken,
    count: Arc<AtomicUsize>,
}

impl Container {
    async fn new(word: &'static str) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), word).await
    }

    async fn at(address: SocketAddr, word: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ending, count) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (ended, requests) = (ending.clone(), count.clone());
        Supervisor::new().spawn("container", async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = ended.cancelled() => return,
                };
                let (requests, ended) = (requests.clone(), ended.clone());
                Supervisor::new().spawn("container connection", async move {
                    tokio::select! {
                        () = answer_all(accepted.unwrap().0, word, &requests) => {}
                        () = ended.cancelled() => {}
                    }
                });
            }
        });
        Self { address, word, ending, count }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ended, its connections cut and its port closed.
    async fn end(&self) {
        self.ending.cancel();
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

fn service(containers: &[Container]) -> Upstream {
    let replica = |it: &Container| Replica { address: it.address, container: it.word.into() };
    let others = containers[1..].iter().map(replica).collect();
    Upstream { others, ..Upstream::new(containers[0].address, Scheme::Http, containers[0].word) }
}

async fn three() -> [Container; 3] {
    [Container::new("one").await, Container::new("two").await, Container::new("three").await]
}

#[tokio::test]
async fn each_container_gets_its_share() {
    let house = House::new(false).await;
    let containers = three().await;
    house.publish(&[("x", 1, Answer::Proxy(service(&containers)))]);
    for _ in 0..30 {
        assert!(house.plain(&get("x")).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(containers.each_ref().map(Container::count), [10, 10, 10]);
}

#[tokio::test]
async fn one_that_dies_costs_no_request_and_gets_its_share_again_when_it_is_back() {
    let house = House::new(false).await;
    let mut containers = three().await;
    let upstream = service(&containers);
    house.publish(&[("x", 1, Answer::Proxy(upstream.clone()))]);
    let post = "POST / HTTP/1.1\r\nHost: x.qa.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    for number in 0..30 {
        if number == 10 {
            containers[1].end().await;
        }
        let answer = house.plain(&(if number % 2 == 0 { get("x") } else { post.to_owned() })).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{number}: {answer}");
    }
    // The engine says that it is gone, and then that it is back.
    let left = upstream.clone().only(|container| container != "two").unwrap();
    house.publish(&[("x", 1, Answer::Proxy(left))]);
    assert!(house.plain(&get("x")).await.starts_with("HTTP/1.1 200"));
    containers[1] = Container::at(containers[1].address, "two").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    for _ in 0..9 {
        assert!(house.plain(&get("x")).await.starts_with("HTTP/1.1 200"));
    }
    assert!(containers[1].count() >= 1, "a new table has no grudge");
    for container in &containers {
        container.end().await;
    }
    let answer = house.plain(&get("x")).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

#[tokio::test]
async fn a_visitor_stays_with_one_container_where_the_label_says_so() {
    let house = House::new(true).await;
    let containers = three().await;
    house.publish(&[("x", 1, Answer::Proxy(Upstream { sticky: true, ..service(&containers) }))]);
    let ask = async |cookie: &str| {
        let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: x.qa.example\r\n{cookie}Connection: close\r\n\r\n");
        exchange(stream, &request).await
    };
    let first = ask("").await;
    let (head, body) = first.split_once("\r\n\r\n").unwrap();
    let body = body.lines().next().unwrap();
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let (pair, attributes) = cookie.split_once(';').unwrap();
    assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax; Secure");
    for _ in 0..9 {
        let answer = ask(&format!("Cookie: a=1; {pair}; b=2\r\n")).await;
        assert!(answer.contains(&format!("\r\n\r\n{body}\n")), "{answer}");
        assert!(!answer.contains("set-cookie"), "{answer}");
    }
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let answer = ask("Cookie: drey-backend=unknown\r\n").await;
        seen.insert(answer.split_once("\r\n\r\n").unwrap().1.lines().next().unwrap().to_owned());
    }
    assert_eq!(seen.len(), 3, "whoever brings nothing known is shared out");
    containers.iter().find(|container| container.word == body).unwrap().end().await;
    let answer = ask(&format!("Cookie: {pair}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("set-cookie: drey-backend="), "{answer}");
}

#[tokio::test]
async fn the_one_with_the_fewest_open_requests_gets_the_next() {
    let house = House::new(false).await;
    // Takes a request and keeps it.
    let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = busy.local_addr().unwrap();
    let (taken, mut takes) = tokio::sync::mpsc::unbounded_channel();
    house.supervisor.spawn("busy", async move {
        while let Ok((stream, _)) = busy.accept().await {
            taken.send(stream).unwrap();
        }
    });
    let idle = Container::new("idle").await;
    let others = vec![Replica { address: idle.address, container: "idle".into() }];
    let balance = Balance::LeastConnections;
    let upstream = Upstream { others, balance, ..Upstream::new(address, Scheme::Http, "busy") };
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let address = house.proxy.http_address().unwrap();
    let mut held = TcpStream::connect(address).await.unwrap();
    held.write_all(get("x").as_bytes()).await.unwrap();
    let _kept = takes.recv().await.unwrap();
    for _ in 0..20 {
        assert!(house.plain(&get("x")).await.contains("idle\n"));
    }
    assert!(takes.try_recv().is_err());
}

#[tokio::test]
async fn a_container_that_is_silent_too_long_is_not_waited_for() {
    let limits = Limits { upstream: Some(Duration::from_millis(300)), ..Limits::new() };
    let house = House::within(false, limits).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Http, "mute");
    house.supervisor.spawn("mute", async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let mut text = String::new();
            while !text.contains("\r\n\r\nhello") {
                let read = stream.read(&mut buffer).await.unwrap();
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                if text.starts_with("GET") {
                    break;
                }
            }
            if text.starts_with("POST") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
            kept.push(stream);
        }
    });
    house.publish(&[("x", 1, Answer::Proxy(upstream.clone()))]);
    let answer = house.plain(&get("x")).await;
    assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("no answer within 0.3 s"), "{answer}");
    // A visitor who is slow to send is not the container's fault.
    let mut stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: x.qa.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(exchange(stream, "hello").await.starts_with("HTTP/1.1 200"));
    // What a service says of itself counts more.
    let timeout = Some(Duration::from_secs(60));
    house.publish(&[("x", 1, Answer::Proxy(Upstream { timeout, ..upstream }))]);
    let waiting = tokio::time::timeout(Duration::from_millis(700), house.plain(&get("x"))).await;
    assert!(waiting.is_err(), "{waiting:?}");
}
