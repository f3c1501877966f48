//! Engines that are not behind a socket: TLS with certificates on both sides, and ssh.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::harness::World;

const COMPOSE: &str = r#"
services:
  web:
    build: .
    command: [busybox, sh, -c, "exec serve 8080 /"]
    expose: [8080]
"#;
const DOCKERFILE: &str = "FROM drey-demo/tiny:1\nCOPY index.html /index.html\n";
const ENGINE: &str = "/var/run/docker.sock";

/// An authority, and one certificate of it for both sides; the folder's files as Docker's client calls them.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    write("ca.pem", authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let mut both = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    both.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    write("cert.pem", both.signed_by(&key, &issuer).unwrap().pem());
    write("key.pem", key.serialize_pem());
}

fn server_config(folder: &Path) -> ServerConfig {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&read("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(&read("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).unwrap();
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap()
}

/// TLS before the engine's socket, which lets in whoever has a certificate, for as long as the test lives.
fn engine_behind_tls(folder: &Path) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(folder)));
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            let local = tokio::task::LocalSet::new();
            local
                .run_until(async {
                    while let Ok((tcp, _)) = listener.accept().await {
                        let acceptor = acceptor.clone();
                        tokio::task::spawn_local(async move {
                            let mut visitor = acceptor.accept(tcp).await.ok()?;
                            let mut engine = UnixStream::connect(ENGINE).await.ok()?;
                            tokio::io::copy_bidirectional(&mut visitor, &mut engine).await.ok()
                        });
                    }
                })
                .await;
        });
    });
    heard.recv().unwrap()
}

/// A branch is built, started, seen and removed, and nothing but the way to the engine is different.
fn lives(world: &World, branch: &str) {
    world.push(branch, &[("index.html", "from elsewhere")]);
    world.reaches(branch, "ready");
    world.serves(&branch.replace('/', "-"), "from elsewhere");
    let listed = world.drey(&["services", "--branch", branch]).unwrap();
    assert!(listed.contains("running"), "{listed}");
    world.drey(&["env", "destroy", &format!("world/{branch}")]).unwrap();
    world.eventually("nothing is left", 60, || world.things(branch).is_empty());
}

fn with_engine(world: &World, lines: &str) {
    let file = world.path("drey.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[engine]\n", &format!("[engine]\n{lines}"))).unwrap();
}

#[test]
fn an_engine_behind_tls_that_demands_a_certificate_does_all_that_the_one_here_does() {
    let mut world = World::new("behind-tls", &[("compose.yaml", COMPOSE), ("Dockerfile", DOCKERFILE)]);
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let address = engine_behind_tls(folder.path());
    world.kill();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let host = format!("host = \"tcp://{address}\"\nca = \"{}\"\n", file("ca.pem"));
    let before = std::fs::read_to_string(world.path("drey.toml")).unwrap();
    with_engine(&world, &host);
    world.spawn(&[]);
    let log = || std::fs::read_to_string(world.path("daemon.log")).unwrap();
    world.eventually("it is refused", 30, || log().contains("CertificateRequired"));
    world.kill();
    std::fs::write(world.path("drey.toml"), before).unwrap();
    with_engine(&world, &format!("{host}cert = \"{}\"\nkey = \"{}\"\n", file("cert.pem"), file("key.pem")));
    world.start();
    lives(&world, "behind/tls");
}

#[test]
fn an_engine_at_the_other_end_of_ssh_does_so_too() {
    let mut world = World::new("by-ssh", &[("compose.yaml", COMPOSE), ("Dockerfile", DOCKERFILE)]);
    world.kill();
    // In place of ssh: what it would do there is done here.
    let ssh = world.path("ssh");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nunset DOCKER_HOST\nexec \"$@\"\n",
        world.path("ssh.log")
    );
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    with_engine(&world, &format!("host = \"ssh://drey@engine.example:2222\"\nssh = \"{ssh}\"\n"));
    world.start();
    lives(&world, "by/ssh");
    let log = std::fs::read_to_string(world.path("ssh.log")).unwrap();
    assert!(log.contains("-l drey -p 2222 -- engine.example docker system dial-stdio"), "{log}");
}
