//! Who waits at the door, who gets a page, and who is told when it opens.

use super::*;

impl House {
    /// Sends it and gives back where its answer comes.
    fn ask(&self, request: String) -> tokio::sync::oneshot::Receiver<String> {
        let address = self.proxy.http_address().unwrap();
        let (asked, asking) = tokio::sync::oneshot::channel();
        self.supervisor.spawn("visitor", async move {
            let stream = TcpStream::connect(address).await.unwrap();
            asked.send(exchange(stream, &request).await).ok();
        });
        asking
    }

    async fn until(&self, open: usize) {
        let count = || self.proxy.presence(EnvironmentId(1)).requests;
        for _ in 0..1000 {
            if count() == open {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} are open, not {open}", count());
    }
}

#[tokio::test]
async fn pages_that_listen_take_no_place_of_those_who_wait() {
    let hold = HoldSettings { requests: 1, of_environment: 1, ..HoldSettings::default() };
    let house = House::with(false, Limits::new(), hold).await;
    house.publish(&[("x", 1, page(Phase::Building, ""))]);
    let mut pages = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
        stream.write_all(browse("x", "/.well-known/drey/events").as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains("data: ") {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
        }
        pages.push(stream);
    }
    let waiting = house.ask(get("x"));
    house.until(1).await;
    // No place is left for a second one.
    assert!(house.plain(&get("x")).await.starts_with("HTTP/1.1 503"));
    let (upstream, _) = echo("there").await;
    house.publish(&[("x", 2, Answer::Proxy(upstream))]);
    assert!(waiting.await.unwrap().contains("there"));
}

#[tokio::test]
async fn in_every_phase_that_passes_programs_wait_and_browsers_get_a_page() {
    let house = House::new(false).await;
    let mut knocks = house.proxy.knocks().unwrap();
    for phase in [
        Phase::Queued,
        Phase::Preparing,
        Phase::Building,
        Phase::Starting,
        Phase::Updating,
        Phase::Waking,
        Phase::Asleep,
    ] {
        house.publish(&[("x", 1, page(phase, ""))]);
        let answer = house.plain(&browse("x", "/")).await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 2"),
            "{phase:?}: {answer}"
        );
        let body = "hello";
        let post = format!(
            "POST /form HTTP/1.1\r\nHost: x.qa.example\r\nAccept: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let fetch = browse("x", "/data").replace("Accept", "Sec-Fetch-Mode: cors\r\nAccept");
        let waiting = [house.ask(get("x")), house.ask(fetch), house.ask(post)];
        house.until(3).await;
        assert_eq!(knocks.try_recv().is_ok(), phase == Phase::Asleep, "{phase:?}");
        let (upstream, _) = echo("there").await;
        house.publish(&[("x", 2, Answer::Proxy(upstream))]);
        for answer in waiting {
            let answer = answer.await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("there"), "{phase:?}: {answer}");
        }
        while knocks.try_recv().is_ok() {}
    }
}

#[tokio::test]
async fn a_thousand_wait_for_one_and_another_branch_notices_nothing() {
    let house = House::new(false).await;
    let (other, _) = echo("other").await;
    let other = ("y", 1, Answer::Proxy(other));
    house.publish(&[("x", 1, page(Phase::Asleep, "")), other.clone()]);
    let waiting: Vec<_> = (0..1000).map(|_| house.ask(get("x"))).collect();
    house.until(1000).await;
    assert!(house.plain(&get("y")).await.starts_with("HTTP/1.1 200"));
    let (upstream, count) = echo("awake").await;
    house.publish(&[("x", 2, Answer::Proxy(upstream)), other]);
    for answer in waiting {
        assert!(answer.await.unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(count.load(Ordering::Relaxed), 1000);
    house.until(0).await;
}

#[tokio::test]
async fn no_more_wait_than_may_and_their_places_are_given_back() {
    let hold = HoldSettings { requests: 3, of_environment: 2, ..HoldSettings::default() };
    let house = House::with(false, Limits::new(), hold).await;
    house.publish(&[("x", 1, page(Phase::Building, ""))]);
    let waiting = [house.ask(get("x")), house.ask(get("x"))];
    house.until(2).await;
    let refused = house.plain(&get("x")).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("Many are waiting"), "{refused}");
    let (upstream, _) = echo("there").await;
    house.publish(&[("x", 2, Answer::Proxy(upstream))]);
    for answer in waiting {
        assert!(answer.await.unwrap().starts_with("HTTP/1.1 200"));
    }
    house.publish(&[("x", 3, page(Phase::Building, ""))]);
    let gone = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let (mut read, mut write) = gone.into_split();
    write.write_all(get("x").as_bytes()).await.unwrap();
    house.until(1).await;
    drop(write);
    drop(read.read(&mut [0]).await);
    drop(read);
    house.until(0).await;
}

#[tokio::test]
async fn who_only_looks_neither_wakes_nor_waits_nor_counts() {
    let house = House::new(false).await;
    let mut knocks = house.proxy.knocks().unwrap();
    house.publish(&[("x", 1, page(Phase::Asleep, ""))]);
    let robot = get("x").replace("Connection", "User-Agent: Googlebot/2.1\r\nConnection");
    let challenge = get("x").replace("/x?y=1", "/.well-known/acme-challenge/token");
    for look in [get("x").replace("GET", "HEAD"), robot, challenge] {
        assert!(house.plain(&look).await.starts_with("HTTP/1.1 503"), "{look}");
    }
    assert!(knocks.try_recv().is_err());
    assert_eq!(house.proxy.take_visits(), []);
}

#[tokio::test]
async fn what_no_visit_wakes_says_so_at_once() {
    let house = House::new(false).await;
    let mut knocks = house.proxy.knocks().unwrap();
    let tired =
        Page { phase: Phase::Asleep, reason: Some("woken too often".into()), outcome: None, is_tired: true };
    house.publish(&[("x", 1, Answer::Page(tired))]);
    for request in [get("x"), browse("x", "/")] {
        let answer = house.plain(&request).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("woken too often"), "{answer}");
    }
    assert!(knocks.try_recv().is_err());
}

#[tokio::test]
async fn a_page_is_told_as_soon_as_something_changes() {
    let house = House::new(false).await;
    house.publish(&[("x", 1, page(Phase::Building, "one"))]);
    let shown = house.plain(&browse("x", "/")).await;
    let (_, mark) = shown.split_once("data-mark=\"").unwrap();
    let mark = mark.split('"').next().unwrap().to_owned();
    let mut stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let request = "GET /.well-known/drey/events HTTP/1.1\r\nHost: x.qa.example\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    hear(&mut stream, &mut said, &format!("data: {mark}\n")).await;
    assert!(said.contains("content-type: text/event-stream") && said.contains("no-store"), "{said}");
    house.publish(&[("x", 1, page(Phase::Starting, "one"))]);
    hear(&mut stream, &mut said, "data: starting-").await;
    let (upstream, count) = echo("there").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    hear(&mut stream, &mut said, "data: ready\n").await;
    assert_eq!(count.load(Ordering::Relaxed), 0, "the branch is not asked for it");
}

async fn hear(stream: &mut TcpStream, said: &mut String, word: &str) {
    let mut buffer = [0; 4096];
    while !said.contains(word) {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("{word:?} is not said: {said}")).unwrap();
        assert!(read > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test]
async fn an_open_answer_is_use_and_its_end_the_last_of_it() {
    let house = House::new(false).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, mut ended) = tokio::sync::mpsc::channel::<()>(1);
    house.supervisor.spawn("stream", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n";
        stream.write_all(head).await.unwrap();
        ended.recv().await;
    });
    let upstream = Upstream::new(address, Scheme::Http, "events");
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let answer = house.ask(get("x"));
    house.until(1).await;
    assert_eq!((house.proxy.take_visits().len(), house.proxy.take_visits().len()), (1, 1), "open is used");
    end.send(()).await.unwrap();
    assert!(answer.await.unwrap().contains("data: 1"));
    house.until(0).await;
    assert_eq!((house.proxy.take_visits().len(), house.proxy.take_visits().len()), (1, 0));
}
