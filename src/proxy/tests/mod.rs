//! The proxy against tiny real servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

use super::limits::Limits;
use super::{HoldSettings, Proxy, ProxySettings, Robots, TlsSettings};
use crate::domain::environment::Phase;
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::route::{Answer, Page, Route, RouteTable, Scheme, Upstream};
use crate::domain::time::Timestamp;
use crate::domain::visitors::Access;
use crate::ports::{Clock, RoutePublisher, Visitors};
use crate::supervisor::Supervisor;

mod accounts;
mod backend_tls;
mod bounds;
pub(super) mod certificate;
mod changes;
mod clients;
mod curl;
mod drain;
mod fleet;
mod frames;
mod frozen;
mod fuzz;
mod gate;
mod hosts;
mod http2;
mod paths;
mod policy;
mod probe;
mod signpost;
mod smuggling;
mod spoofing;
mod streams;
mod times;
mod visitors;
mod websocket;

struct Today;
impl Clock for Today {
    fn now(&self) -> Timestamp {
        Timestamp::parse("2026-06-01T12:00:00Z").unwrap()
    }
}

struct House {
    proxy: Proxy,
    supervisor: Supervisor,
    folder: tempfile::TempDir,
    seen: Arc<accounts::Seen>,
}

impl House {
    async fn new(with_tls: bool) -> Self {
        Self::within(with_tls, Limits::new()).await
    }

    async fn within(with_tls: bool, limits: Limits) -> Self {
        Self::with(with_tls, limits, HoldSettings::default()).await
    }

    /// In plain, with another longest wait.
    async fn holding(time: Duration) -> Self {
        Self::with(false, Limits::new(), HoldSettings { time, ..HoldSettings::default() }).await
    }

    async fn with(with_tls: bool, limits: Limits, hold: HoldSettings) -> Self {
        let (folder, seen) = (tempfile::tempdir().unwrap(), Arc::<accounts::Seen>::default());
        let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let settings = ProxySettings {
            https: any.filter(|_| with_tls),
            http: any,
            domain: "qa.example".into(),
            tls: TlsSettings::LocalCa { directory: folder.path().to_owned() },
            dashboard_url: None,
            hold,
            robots: Robots::Deny,
            bounds: Default::default(),
            access_log: Some(seen.clone()),
        };
        let supervisor = Supervisor::new();
        let proxy = Proxy::bind_within(settings, limits, &supervisor, Arc::new(Today)).await.unwrap();
        Self { proxy, supervisor, folder, seen }
    }

    fn publish(&self, routes: &[(&str, i64, Answer)]) {
        let route = |(host, generation, answer): &(&str, i64, Answer)| {
            let route = Route {
                environment: EnvironmentId(1),
                generation: Generation(*generation),
                name: "shop/<b>x</b>".into(),
                service: "web".into(),
                paths: Vec::new(),
                access: Access::Open,
                answer: answer.clone(),
            };
            (format!("{host}.qa.example"), route)
        };
        let (families, hosts) = routes.iter().map(route).partition(|(host, _)| host.starts_with("*"));
        let families: BTreeMap<String, Route> = families;
        let families = families.into_iter().map(|(host, route)| (host.replacen('*', "", 1), route)).collect();
        self.proxy.publish(RouteTable { hosts, families });
    }

    async fn plain(&self, request: &str) -> String {
        exchange(TcpStream::connect(self.proxy.http_address().unwrap()).await.unwrap(), request).await
    }

    async fn tls(
        &self,
        name: &'static str,
        protocols: &[&[u8]],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.proxy.https_address().unwrap()).await?;
        let connector = TlsConnector::from(Arc::new(trusting(&self.folder, protocols)));
        connector.connect(ServerName::try_from(name).unwrap(), stream).await
    }
}

/// A client that trusts the authority in the folder.
fn trusting(folder: &tempfile::TempDir, protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.path().join("ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(host: &str) -> String {
    format!("GET /x?y=1 HTTP/1.1\r\nHost: {host}.qa.example:8443\r\nConnection: close\r\n\r\n")
}

/// As a browser goes to a page.
fn browse(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}.qa.example\r\nAccept: text/html,*/*\r\nConnection: close\r\n\r\n"
    )
}

/// A server that answers each request with its own head, and counts them.
async fn echo(word: &'static str) -> (Upstream, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Http, word);
    let count = Arc::new(AtomicUsize::new(0));
    let requests = count.clone();
    Supervisor::new().spawn("echo", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let requests = requests.clone();
            Supervisor::new()
                .spawn("echo connection", async move { answer_all(stream, word, &requests).await });
        }
    });
    (upstream, count)
}

async fn answer_all(mut stream: TcpStream, word: &str, requests: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            requests.fetch_add(1, Ordering::Relaxed);
            let body = format!("{word}\n{}", String::from_utf8_lossy(&head));
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nKeep-Alive: x\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            head.clear();
        }
    }
}

fn page(phase: Phase, reason: &str) -> Answer {
    Answer::Page(Page { phase, reason: Some(reason.into()), outcome: None, is_tired: false })
}

#[tokio::test]
async fn a_request_over_tls_reaches_the_container_with_headers_of_our_own() {
    let house = House::new(true).await;
    let (upstream, _) = echo("one").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x.qa.example:8443\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\
                   Forwarded: for=6.6.6.6\r\nProxy: evil\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n";
    let answer = exchange(stream, request).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(
        answer.contains("x-forwarded-proto: https") && answer.contains("x-forwarded-for: 127.0.0.1"),
        "{answer}"
    );
    assert!(answer.contains("host: x.qa.example:8443"), "{answer}");
    for gone in ["6.6.6.6", "proxy: evil", "x-hop: 1", "keep-alive: x"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
    assert_eq!(house.proxy.take_visits().len(), 1);
}

#[tokio::test]
async fn http_2_is_spoken_down_and_http_1_up() {
    let house = House::new(true).await;
    let (upstream, _) = echo("two").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let stream = house.tls("x.qa.example", &[b"h2"]).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    house.supervisor.spawn("client", async move {
        connection.await.ok();
    });
    let request =
        http::Request::get("https://x.qa.example/").body(http_body_util::Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("GET / HTTP/1.1"));
}

#[tokio::test]
async fn the_plain_port_redirects_and_offers_the_authority() {
    let house = House::new(true).await;
    let port = house.proxy.https_address().unwrap().port();
    let answer = house.plain(&get("x")).await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(answer.contains(&format!("location: https://x.qa.example:{port}/x?y=1")), "{answer}");
    let request = "GET /.well-known/drey-ca.pem HTTP/1.1\r\nHost: any.where\r\nConnection: close\r\n\r\n";
    assert!(house.plain(request).await.contains("BEGIN CERTIFICATE"));
}

#[tokio::test]
async fn a_name_outside_of_the_domain_gets_no_handshake() {
    let house = House::new(true).await;
    assert!(house.tls("other.example", &[b"h2"]).await.is_err());
    assert!(house.tls("a.b.qa.example", &[b"h2"]).await.is_err());
    assert!(house.tls("qa.example", &[b"h2"]).await.is_ok());
}

#[tokio::test]
async fn while_a_container_is_replaced_requests_wait_for_the_new_one() {
    let house = House::new(false).await;
    house.publish(&[("x", 1, Answer::Replacing(None))]);
    let address = house.proxy.http_address().unwrap();
    let (asked, asking) = tokio::sync::oneshot::channel();
    house.supervisor.spawn("visitor", async move {
        let stream = TcpStream::connect(address).await.unwrap();
        asked.send(exchange(stream, &get("x")).await).ok();
    });
    let (upstream, _) = echo("new").await;
    house.publish(&[("x", 2, Answer::Proxy(upstream))]);
    assert!(asking.await.unwrap().contains("new\n"));
}

#[tokio::test]
async fn other_hosts_notice_nothing_of_a_thousand_changes() {
    let house = House::new(false).await;
    let (steady, count) = echo("steady").await;
    let (other, _) = echo("other").await;
    house.publish(&[("steady", 1, Answer::Proxy(steady.clone()))]);
    let mut stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let mut buffer = vec![0; 4096];
    for generation in 1..=1000 {
        let (upstream, scheme) = (other.clone(), Answer::Proxy(steady.clone()));
        house.publish(&[("steady", 1, scheme), ("x", generation, Answer::Proxy(upstream))]);
        if generation % 10 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: steady.qa.example\r\n\r\n").await.unwrap();
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
        }
    }
    assert_eq!(count.load(Ordering::Relaxed), 100);
}

#[tokio::test]
async fn a_websocket_goes_through_and_outlives_changes_of_others() {
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
    house.publish(&[("x", 1, Answer::Proxy(upstream.clone()))]);
    let stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://x.qa.example/", stream).await.unwrap();
    for number in 0..20 {
        house.publish(&[("x", 1, Answer::Proxy(upstream.clone())), ("y", number, page(Phase::Queued, ""))]);
        let message = tokio_tungstenite::tungstenite::Message::text(format!("hello {number}"));
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
}

#[tokio::test]
async fn every_phase_has_its_page_and_hostile_text_stays_text() {
    let house = House::new(false).await;
    let ask = |accept: &str| {
        format!("GET / HTTP/1.1\r\nHost: x.qa.example\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
    };
    for (phase, status) in [
        (Phase::Queued, 503),
        (Phase::Building, 503),
        (Phase::Updating, 503),
        (Phase::Failed, 503),
        (Phase::Archived, 410),
        (Phase::Destroying, 410),
    ] {
        house.publish(&[("x", 1, page(phase, "</pre><script>alert(1)</script>\x1b[31m"))]);
        let answer = house.plain(&ask("text/html")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{phase:?}: {answer}");
        assert!(
            !answer.contains("<script>alert") && !answer.contains("<b>x</b>") && !answer.contains('\x1b'),
            "{answer}"
        );
        assert!(answer.contains("no-store") && answer.contains("content-security-policy"), "{answer}");
        if status == 410 || phase == Phase::Failed {
            assert!(house.plain(&ask("*/*")).await.contains("text/plain"));
        }
    }
    assert!(house.plain(&get("nobody")).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn no_name_gets_out_of_its_page() {
    const NAMES: &[&str] = include!("../../../tests/fixtures/hostile_names.rs");
    let house = House::new(false).await;
    for name in NAMES {
        house.publish(&[("x", 1, page(Phase::Failed, name))]);
        for accept in ["text/html", "*/*"] {
            let head = format!("Host: x.qa.example\r\nAccept: {accept}\r\nConnection: close\r\n");
            let answer = house.plain(&format!("GET / HTTP/1.1\r\n{head}\r\n")).await;
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let is_plain = |c| matches!(c, '\n' | '\r' | '\t') || crate::domain::text::is_harmless(c);
            assert!(body.chars().all(is_plain), "{name:?}: {body:?}");
            let has_markup = name.contains(['<', '"']) && accept == "text/html";
            assert!(!has_markup || !body.contains(name), "{name}: {body}");
        }
    }
}

#[tokio::test]
async fn each_host_of_a_branch_that_was_never_ready_has_its_page() {
    let house = House::new(false).await;
    let waiting = || page(Phase::Building, "the first build");
    house.publish(&[("x", 1, waiting()), ("*x", 1, waiting())]);
    for host in ["x", "x--api", "x--any--thing"] {
        let answer = house.plain(&browse(host, "/")).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("the first build"), "{host}: {answer}");
    }
    for host in ["x-2--api", "y--api", "a.x--api"] {
        assert!(house.plain(&get(host)).await.starts_with("HTTP/1.1 404"), "{host}");
    }
    let (upstream, _) = echo("api").await;
    house.publish(&[("x", 1, waiting()), ("x--api", 1, Answer::Proxy(upstream))]);
    assert!(house.plain(&get("x--api")).await.starts_with("HTTP/1.1 200"));
    assert!(house.plain(&get("x--any--thing")).await.starts_with("HTTP/1.1 404"));
}
