//! What visitors see behind each proxy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use drey::domain::backend::BackendTls;
use drey::domain::environment::Phase;
use drey::domain::names::{EnvironmentId, Generation};
use drey::domain::route::{Answer, Page, Route, RouteTable, Scheme, Upstream};
use drey::domain::visitors::Access;
use drey::ports::{Provider, Visitors};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::backend::{Authority, Backend};
use crate::front::{DOMAIN, Front, Kind, eventually};
use crate::visitor::{Visitor, echoes, get};

/// Slug, id, where it leads.
pub(crate) type Line<'a> = (&'a str, i64, Answer);

pub(crate) fn host(slug: &str) -> String {
    format!("{slug}.{DOMAIN}")
}

pub(crate) fn table(lines: &[Line<'_>]) -> RouteTable {
    let route = |(slug, id, answer): &Line<'_>| {
        let route = Route {
            environment: EnvironmentId(*id),
            generation: Generation(1),
            name: format!("shop/{slug}"),
            service: "web".to_owned(),
            access: Access::Open,
            paths: Vec::new(),
            answer: answer.clone(),
        };
        (host(slug), route)
    };
    RouteTable { hosts: lines.iter().map(route).collect(), families: BTreeMap::new() }
}

pub(crate) fn to(backend: &Backend) -> Answer {
    Answer::Proxy(Upstream::new(backend.address, Scheme::Http, "container"))
}

pub(crate) fn page(phase: Phase) -> Answer {
    Answer::Page(Page { phase, reason: None, outcome: None, is_tired: false })
}

/// What a container that asks for a client's certificate is spoken to with.
pub(crate) fn mutual(backend: &Backend, authority: &Authority, clients: &Authority) -> Answer {
    let client = clients.sign("client");
    let tls = BackendTls {
        authority: Some(authority.pem.clone()),
        server_name: Some("app.internal".to_owned()),
        verify: true,
        identity: Some(format!("{}{}", client.certificate, client.key).into_bytes()),
    };
    let upstream = Upstream::new(backend.address, Scheme::Https, "container");
    Answer::Proxy(Upstream { tls: Some(Arc::new(tls)), ..upstream })
}

async fn says(front: &Front, slug: &str, word: &str) -> bool {
    get(front, &host(slug)).await.is_ok_and(|(status, text)| status == 200 && text.contains(word))
}

/// Whoever ends a container waits for that: its address may be another branch's a moment later.
async fn nobody_is_led_there_when_it_has_settled(kind: Kind) {
    let one = Backend::plain("one").await;
    let front = Front::running(kind, table(&[("a", 1, to(&one))])).await;
    for _ in 0..5 {
        eventually("it leads there", async || says(&front, "a", "one").await).await;
        front.tell(table(&[("a", 1, page(Phase::Failed))]));
        front.shown.settle().await;
        assert!(!says(&front, "a", "one").await);
        front.tell(table(&[("a", 1, to(&one))]));
    }
}

/// Also for a connection that is never idle.
async fn who_keeps_asking_is_led_elsewhere_too(kind: Kind) {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let front = Arc::new(Front::running(kind, table(&[("a", 1, to(&one))])).await);
    let (sender, answers) = tokio::sync::watch::channel((0, String::new()));
    let asked = front.clone();
    let asking = tokio::spawn(async move {
        let mut kept: Option<Visitor> = None;
        while !sender.is_closed() {
            let mut visitor = match kept.take() {
                Some(visitor) => visitor,
                None => Visitor::come(&asked, &host("a")).await.unwrap(),
            };
            // nginx closes what is kept; a browser asks again.
            let Ok((_, text)) = visitor.ask("GET /", "", "").await else { continue };
            let word = text.split("\r\n\r\n").nth(1).unwrap().lines().next().unwrap().to_owned();
            sender.send_modify(|(number, last)| (*number, *last) = (*number + 1, word));
            kept = Some(visitor);
        }
    });
    for change in 0..20 {
        let (to_which, word) = if change % 2 == 0 { (&two, "two") } else { (&one, "one") };
        front.tell(table(&[("a", 1, to(to_which))]));
        front.shown.settle().await;
        let mut answers = answers.clone();
        let asked = answers.borrow().0;
        // One may have been on its way.
        let later = answers.wait_for(|(number, _)| *number > asked + 2).await.unwrap().1.clone();
        assert_eq!(later, word, "change {change}");
    }
    drop(answers);
    asking.await.unwrap();
}

async fn branches_are_reached(kind: Kind) {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let front = Front::running(kind, table(&[("a", 1, to(&one)), ("b", 2, to(&two))])).await;
    assert!(says(&front, "a", "one").await && says(&front, "b", "two").await);
    let mut visitor = Visitor::come(&front, &host("a")).await.unwrap();
    let spoofed = "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nProxy: evil\r\n\
                   X-Forwarded-Proto: evil\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Prefix: /evil\r\n";
    let (status, text) =
        visitor.ask("POST /x", &format!("{spoofed}Content-Length: 5\r\n"), "hello").await.unwrap();
    let text = text.to_lowercase();
    assert_eq!(status, 200, "{text}");
    assert!(!text.contains("6.6.6.6") && !text.contains("evil"), "{text}");
    for wanted in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: a.qa.localhost",
        "hello",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(text.contains("x-robots-tag: noindex"), "{text}");
    assert!(!text.contains("domain=qa.localhost"), "a cookie is for its host only: {text}");
    let (_, robots) = visitor.ask("GET /robots.txt", "", "").await.unwrap();
    assert!(robots.contains("Disallow: /"), "{robots}");
    let mut tunnel = visitor.upgrade().await;
    assert!(echoes(&mut tunnel, "hello").await);
    assert!(get(&front, &host("nobody")).await.unwrap().0 == 404);
    assert!(Visitor::come(&front, "other.example").await.is_err(), "no handshake for other names");
    eventually("a visit past the gate is seen", async || {
        let seen = front.visitors.take_visits();
        seen.iter().any(|(id, _)| *id == EnvironmentId(1))
    })
    .await;
    eventually("who is there is seen", async || front.visitors.presence(EnvironmentId(1)).is_somebody())
        .await;
    // From one container to another, also for who stays connected.
    let mut stays = Visitor::come(&front, &host("a")).await.unwrap();
    assert!(stays.ask("GET /", "", "").await.unwrap().1.contains("one"));
    front.tell(table(&[("a", 1, to(&two)), ("b", 2, to(&two))]));
    front.serves_newest().await;
    assert!(says(&front, "a", "two").await);
    // nginx has closed it, which a browser takes for no failure.
    if let Ok((_, text)) = stays.ask("GET /", "", "").await {
        assert!(text.contains("two"), "{text}");
    }
    assert!(echoes(&mut tunnel, "still there").await, "a tunnel outlives a change");
}

async fn what_is_not_ready_is_the_gates(kind: Kind) {
    let backend = Backend::plain("awake").await;
    let front =
        Front::running(kind, table(&[("a", 1, page(Phase::Asleep)), ("b", 2, page(Phase::Failed))])).await;
    let mut knocks = front.gate.knocks().unwrap();
    let accept = "Accept: text/html\r\n";
    let mut browser = Visitor::come(&front, &host("b")).await.unwrap();
    let (status, text) = browser.ask("GET /", accept, "").await.unwrap();
    assert!(status == 503 || status == 502, "{text}");
    assert!(text.contains("failed"), "{text}");
    // A program waits at the gate until the branch is awake.
    let mut program = Visitor::come(&front, &host("a")).await.unwrap();
    let asked = tokio::spawn(async move { program.ask("GET /", "", "").await });
    assert_eq!(knocks.recv().await, Some(EnvironmentId(1)));
    let failed = ("b", 2, page(Phase::Failed));
    front.tell(table(&[("a", 1, to(&backend)), failed]));
    let (status, text) = asked.await.unwrap().unwrap();
    assert!(status == 200 && text.contains("awake"), "{text}");
    front.serves_newest().await;
    // Its container goes, and the proxy does not know yet: the gate says what becomes of it.
    let address = backend.address;
    drop(backend);
    let asleep = [("a", 1, page(Phase::Asleep)), ("b", 2, page(Phase::Failed))];
    drey::ports::RoutePublisher::publish(front.gate.as_ref(), table(&asleep));
    let mut program = Visitor::come(&front, &host("a")).await.unwrap();
    let asked = tokio::spawn(async move { program.ask("POST /", "Content-Length: 5\r\n", "hello").await });
    assert_eq!(knocks.recv().await, Some(EnvironmentId(1)));
    let backend = Backend::at("again", address).await;
    let awake = [("a", 1, to(&backend)), ("b", 2, page(Phase::Failed))];
    drey::ports::RoutePublisher::publish(front.gate.as_ref(), table(&awake));
    let (status, text) = asked.await.unwrap().unwrap();
    assert!(status == 200 && text.contains("again") && text.contains("hello"), "{text}");
}

/// Only the gate knows who may look.
async fn who_may_look_is_asked_at_the_gate(kind: Kind) {
    let backend = Backend::plain("secret").await;
    let mut guarded = table(&[("a", 1, to(&backend))]);
    for route in guarded.hosts.values_mut() {
        route.access = Access::Token;
    }
    let front = Front::running(kind, guarded).await;
    let (status, text) = get(&front, &host("a")).await.unwrap();
    assert!(status == 401 || status == 403, "{text}");
    assert!(!text.contains("secret\n"));
    assert_eq!(front.status().direct, 0);
}

async fn a_container_gets_the_certificate_that_it_demands(kind: Kind) {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let backend = Backend::tls("mutual", &servers.sign("app.internal"), &clients).await;
    let front = Front::running(kind, table(&[("a", 1, mutual(&backend, &servers, &clients))])).await;
    assert!(says(&front, "a", "mutual").await, "{}", front.rendered().await);
    // Signed by somebody else: it is not spoken to.
    front.tell(table(&[("a", 1, mutual(&backend, &clients, &clients))]));
    front.serves_newest().await;
    assert!(!says(&front, "a", "mutual").await);
}

/// TLS at the proxy only, and none at all.
async fn without_tls_it_is_plain_and_with_it_plain_is_sent_on(kind: Kind) {
    let backend = Backend::plain("one").await;
    let front = Front::running(kind, table(&[("a", 1, to(&backend))])).await;
    let (status, text) = plain(&front, "/x?y=1").await;
    let port = front.https.port();
    assert_eq!(status, 308, "{text}");
    assert!(text.contains(&format!("https://{}:{port}/x?y=1", host("a"))), "{text}");
    assert!(plain(&front, "/.well-known/drey-ca.pem").await.1.contains("BEGIN CERTIFICATE"));
    front.reframe(|frame| frame.https = None);
    front.serves_newest().await;
    let (status, text) = plain(&front, "/x?y=1").await;
    assert!(status == 200 && text.contains("GET /x?y=1") && text.contains("one"), "{text}");
    assert!(text.to_lowercase().contains("x-forwarded-proto: http\r\n"), "{text}");
}

async fn plain(front: &Front, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(front.http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host("a"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

/// Visitors of one branch while another one's route changes.
const CHANGES: usize = 200;
/// Changes that each tunnel sees.
const TUNNEL_LIVES: usize = 10;

async fn other_branches_lose_nothing_while_routes_change(kind: Kind) {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let front = Arc::new(Front::running(kind, table(&[("a", 1, to(&one)), ("b", 2, to(&two))])).await);
    let mut tunnel = Visitor::come(&front, &host("b")).await.unwrap().upgrade().await;
    let over = Arc::new(AtomicBool::new(false));
    let (asked, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut visitors = tokio::task::JoinSet::new();
    for keeps in [true, true, false, false] {
        let (front, over) = (front.clone(), over.clone());
        let (asked, closed) = (asked.clone(), closed.clone());
        visitors.spawn(async move {
            let mut kept: Option<Visitor> = None;
            while !over.load(Ordering::Relaxed) {
                let is_kept = kept.is_some();
                let mut visitor = match kept.take() {
                    Some(visitor) => visitor,
                    None => Visitor::come(&front, &host("b")).await.unwrap(),
                };
                match visitor.ask("GET /", "", "").await {
                    Ok((status, text)) => {
                        assert!(status == 200 && text.contains("two"), "{text}");
                        asked.fetch_add(1, Ordering::Relaxed);
                        // A proxy that says that it will close has told it.
                        let closes = text.to_lowercase().contains("connection: close");
                        kept = (keeps && !closes).then_some(visitor);
                    }
                    // Closed between two requests: a browser asks again.
                    Err(error) => {
                        assert!(is_kept, "{error}");
                        closed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
    }
    for change in 0..CHANGES {
        let to_which = if change % 2 == 0 { &two } else { &one };
        front.tell(table(&[("a", 1, to(to_which)), ("b", 2, to(&two))]));
        front.serves_newest().await;
        // nginx gives one that is open a minute after it read its configuration again.
        if change % TUNNEL_LIVES == 0 {
            assert!(echoes(&mut tunnel, "still there").await, "a tunnel outlives changes");
            tunnel = Visitor::come(&front, &host("b")).await.unwrap().upgrade().await;
        }
    }
    over.store(true, Ordering::Relaxed);
    while let Some(visitor) = visitors.join_next().await {
        visitor.unwrap();
    }
    assert!(echoes(&mut tunnel, "still there").await, "a tunnel outlives changes");
    let (asked, closed) = (asked.load(Ordering::Relaxed), closed.load(Ordering::Relaxed));
    let status = front.status();
    println!(
        "{kind:?}: {CHANGES} changes, {} reloads, {} adjustments; {asked} requests, 0 failed, {closed} kept connections \
         closed between two requests",
        status.reloads, status.adjustments
    );
    assert!(asked > CHANGES, "{asked}");
}

macro_rules! for_each_proxy {
    ($kind:expr, $name:ident) => {
        mod $name {
            use crate::front::Kind;

            #[tokio::test(flavor = "multi_thread")]
            async fn nobody_is_led_there_when_it_has_settled() {
                super::nobody_is_led_there_when_it_has_settled($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn who_keeps_asking_is_led_elsewhere_too() {
                super::who_keeps_asking_is_led_elsewhere_too($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn branches_are_reached() {
                super::branches_are_reached($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn what_is_not_ready_is_the_gates() {
                super::what_is_not_ready_is_the_gates($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn who_may_look_is_asked_at_the_gate() {
                super::who_may_look_is_asked_at_the_gate($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_container_gets_the_certificate_that_it_demands() {
                super::a_container_gets_the_certificate_that_it_demands($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn without_tls_it_is_plain_and_with_it_plain_is_sent_on() {
                super::without_tls_it_is_plain_and_with_it_plain_is_sent_on($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn other_branches_lose_nothing_while_routes_change() {
                super::other_branches_lose_nothing_while_routes_change($kind).await;
            }
        }
    };
}

for_each_proxy!(Kind::Nginx, nginx);
for_each_proxy!(Kind::Included, included);
for_each_proxy!(Kind::Haproxy, haproxy);
for_each_proxy!(Kind::Caddy, caddy);
