//! Sleep and waking on the real engine.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::harness::{REPO, World, docker};

/// A page that waits for a bus, that waits for a database which is healthy after a while, and a migration in between.
const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [busybox, sh, -c, "busybox mkdir -p /tmp/www; echo page > /tmp/www/index.html; exec serve 8080 /tmp/www"]
    expose: [8080]
    depends_on: [esb]
  esb:
    image: drey-demo/tiny:1
    command: [serve, "9000", /]
    depends_on:
      db: { condition: service_healthy }
      migrate: { condition: service_completed_successfully }
  migrate:
    image: drey-demo/tiny:1
    restart: "no"
    command: [busybox, sh, -c, "echo once >> /data/migrations"]
    volumes: ["data:/data"]
    depends_on:
      db: { condition: service_healthy }
  db:
    image: drey-demo/tiny:1
    command: [serve, "9001", /data]
    volumes: ["data:/data"]
    healthcheck: { test: [CMD, busybox, "true"], interval: 500ms }
volumes:
  data:
"#;
const CONNECTIONS: usize = 10;
const STREAMS: usize = 100;

fn lull(world: &World, branch: &str) {
    world.drey(&["env", "sleep", &format!("{REPO}/{branch}")]).unwrap();
    world.eventually("it sleeps", 60, || world.environment(branch).unwrap()["phase"] == "asleep");
}

fn inspect(container: &str, what: &str) -> String {
    docker(&["inspect", "-f", what, container]).trim().to_owned()
}

#[test]
fn a_thousand_requests_wake_a_branch_once_and_each_is_answered() {
    let world = World::new("sleep", &[("compose.yaml", COMPOSE)]);
    world.push("sleeper/one", &[("one.txt", "1")]);
    world.push("sleeper/two", &[("two.txt", "2")]);
    world.reaches("sleeper/one", "ready");
    world.reaches("sleeper/two", "ready");
    assert_eq!(world.get("sleeper-two").unwrap().0, 200);
    let services = ["web", "esb", "migrate", "db"];
    let containers = || services.map(|service| world.container("sleeper/one", service));
    let before = containers();
    docker(&["exec", &before[3], "busybox", "sh", "-c", "echo kept > /data/order"]);
    lull(&world, "sleeper/one");
    let runs = |container: &String| inspect(container, "{{.State.Running}}") == "true";
    world.eventually("nothing of it runs", 60, || !before.iter().any(runs));
    let generation = world.environment("sleeper/one").unwrap()["generation"].as_i64().unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let statuses = runtime.block_on(ask_at_once(&world));
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        CONNECTIONS * STREAMS,
        "{statuses:?}"
    );
    let awake = world.environment("sleeper/one").unwrap();
    assert_eq!(awake["generation"].as_i64(), Some(generation + 1), "woken once");
    assert_eq!(containers(), before, "as they were");
    assert_eq!(docker(&["exec", &before[3], "busybox", "cat", "/data/order"]).trim(), "kept");
    let migrations = docker(&["exec", &before[3], "busybox", "cat", "/data/migrations"]);
    assert_eq!(migrations.lines().count(), 1, "what was done is not done again");
    assert_eq!(world.get("sleeper-two").unwrap().0, 200);
}

/// All requests over some connections, at the same time; their statuses.
async fn ask_at_once(world: &World) -> Vec<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(world.path("ca.pem")).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let mut asked = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(("127.0.0.1", world.https_port())).await.unwrap();
        let name = ServerName::try_from("sleeper-one.world.localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        for _ in 0..STREAMS {
            let mut sender = sender.clone();
            asked.push(tokio::spawn(async move {
                let request =
                    http::Request::get("https://sleeper-one.world.localhost/").body(Empty::<Bytes>::new());
                sender.send_request(request.unwrap()).await.unwrap().status().as_u16()
            }));
        }
    }
    let mut statuses = Vec::new();
    for answer in asked {
        statuses.push(answer.await.unwrap());
    }
    statuses
}

#[test]
fn what_is_frozen_goes_on_and_a_push_finds_it() {
    let compose = format!("{COMPOSE}x-drey:\n  sleep: pause\n");
    let world = World::new("frozen", &[("compose.yaml", &compose)]);
    world.push("frozen/one", &[("one.txt", "1")]);
    world.reaches("frozen/one", "ready");
    let web = world.container("frozen/one", "web");
    let began = inspect(&web, "{{.State.StartedAt}}");
    lull(&world, "frozen/one");
    world.eventually("it is frozen", 60, || inspect(&web, "{{.State.Status}}") == "paused");
    assert_eq!(world.get("frozen-one").unwrap().0, 200, "the visit is held until it is back");
    assert_eq!(inspect(&web, "{{.State.StartedAt}}"), began, "it never ended");
    let because = world.environment("frozen/one").unwrap()["fate"]["awake"].as_str().unwrap().to_owned();
    assert!(because.contains("20"), "{because}");

    lull(&world, "frozen/one");
    world.push("frozen/one", &[("one.txt", "2")]);
    world.reaches("frozen/one", "ready");
    assert_eq!(
        inspect(&web, "{{.State.StartedAt}}"),
        began,
        "a push that changes nothing of it leaves it as it is"
    );
    lull(&world, "frozen/one");
    world.drey(&["env", "archive", &format!("{REPO}/frozen/one")]).unwrap();
    world.archived("frozen/one");
}
