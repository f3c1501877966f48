//! Services that speak TLS and demand a client certificate; services of several containers.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::harness::{REPO, World, docker};

/// Tells who asked, and over TLS takes nobody who does not show a certificate.
const SERVER: &str = r#"
import http.server, os, socket, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        shown = self.connection.getpeercert() if len(sys.argv) > 1 else None
        name = dict(pair[0] for pair in shown["subject"])["commonName"] if shown else "anybody"
        body = f"{socket.gethostname()} serves {name}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/srv/server.pem")
    context.load_verify_locations("/srv/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"#;

const TLS: &str = r#"
services:
  web:
    image: drey-demo/runtime:1
    command: ["python3", "/srv/server.py", "tls"]
    init: true
    volumes: ["./srv:/srv:ro"]
    expose: ["8443"]
    labels:
      drey.scheme: https
      drey.upstream.ca: srv/ca.pem
      drey.upstream.server-name: app.internal
      drey.upstream.client-cert: client
"#;

const THREE: &str = r#"
services:
  web:
    image: drey-demo/runtime:1
    command: ["python3", "/srv/server.py"]
    init: true
    volumes: ["./srv:/srv:ro"]
    expose: ["8443"]
    deploy: { replicas: 3 }
"#;

#[test]
fn a_service_that_demands_a_certificate_is_shown_the_secret_of_the_label() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::from_ca_cert_pem(&authority, key).unwrap();
    let sign = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        format!("{certificate}{}", key.serialize_pem())
    };
    let server = sign("app.internal");
    let files = [
        ("compose.yaml", TLS),
        ("srv/server.py", SERVER),
        ("srv/server.pem", &server),
        ("srv/ca.pem", &authority),
    ];
    let mut world = World::new("tls", &files);
    let blocked = {
        world.push("feature/tls", &[("x", "1")]);
        world.reaches("feature/tls", "blocked")
    };
    let reason = blocked["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("drey secret set world client"), "{reason}");

    let client = sign("drey-the-client");
    set_secret(&world, "client", &client);
    world.drey(&["env", "deploy", &format!("{REPO}/feature/tls")]).unwrap();
    world.reaches("feature/tls", "ready");
    world.serves("feature-tls", "serves drey-the-client");
    let key = client.lines().nth(client.lines().count() - 2).unwrap();
    let database = std::fs::read(world.path("data/drey.db")).unwrap();
    assert!(
        !database.windows(key.len()).any(|window| window == key.as_bytes()),
        "the key is in the database"
    );

    let other = TLS
        .replace("app.internal", "other.internal")
        .replace("labels:", "labels:\n      drey.ready.within: 10s");
    world.push("feature/other", &[("compose.yaml", &other)]);
    let failed = world.reaches("feature/other", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("drey.upstream.server-name"), "{reason}");
    world.end_all();
}

/// Longer than drey looks after what it has just deployed.
const WATCHED: Duration = Duration::from_secs(8);

#[test]
fn three_containers_share_the_requests_and_the_end_of_one_costs_none() {
    let mut world = World::new("three", &[("compose.yaml", THREE), ("srv/server.py", SERVER)]);
    world.push("feature/three", &[("x", "1")]);
    world.reaches("feature/three", "ready");
    let ask = || world.get("feature-three").filter(|(status, _)| *status == 200).map(|(_, body)| body);
    let mut seen = BTreeSet::new();
    // What ends within the first seconds makes a failed deployment: these pass while it is asked who answers.
    let begin = Instant::now();
    while begin.elapsed() < WATCHED {
        seen.insert(ask().unwrap());
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    let containers = world.container("feature/three", "web");
    docker(&["kill", containers.lines().next().unwrap()]);
    let begin = Instant::now();
    let mut asked = 0;
    while begin.elapsed() < Duration::from_secs(4) {
        assert!(ask().is_some(), "request {asked} after the end of one");
        asked += 1;
    }
    world.eventually("there are three again", 60, || {
        (0..12).filter_map(|_| ask()).collect::<BTreeSet<_>>().len() == 3
    });
    world.end_all();
}

fn set_secret(world: &World, name: &str, value: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_drey"))
        .args(["--config", &world.path("drey.toml"), "secret", "set", REPO, name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}
