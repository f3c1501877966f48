//! A configuration that lies in etcd: watched, refused where it is faulty, kept while etcd is away.

use std::process::{Child, Command};

use crate::harness::{World, bounded_to, free_port, run};

const COMPOSE: &str = "services:\n  web:\n    image: drey-demo/tiny:1\n    expose: [8080]\n";

/// A server of its own, behind TLS that asks for a certificate.
struct Etcd {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Etcd {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("drey-etcd-").tempdir().unwrap();
        let etcd = Self { folder, port: free_port(), child: None };
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        // Of another name than what it signs: OpenSSL would take that for its own authority.
        authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let signed = authority.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        std::fs::write(etcd.path("ca.pem"), signed.pem()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut both = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        both.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        std::fs::write(etcd.path("cert.pem"), both.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(etcd.path("key.pem"), key.serialize_pem()).unwrap();
        etcd
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn address(&self) -> String {
        let (ca, cert, key) = (self.path("ca.pem"), self.path("cert.pem"), self.path("key.pem"));
        format!("etcds://127.0.0.1:{}/drey/config?ca={ca}&cert={cert}&key={key}", self.port)
    }

    fn start(&mut self) {
        let peer = format!("http://127.0.0.1:{}", free_port());
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = bounded_to(300, "etcd")
            .args(["--data-dir", &self.path("data"), "--name", "drey"])
            .args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("drey={peer}")])
            .args(["--cert-file", &self.path("cert.pem"), "--key-file", &self.path("key.pem")])
            .args(["--client-cert-auth", "--trusted-ca-file", &self.path("ca.pem")])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        run("kill", &["-s", "TERM", &child.id().to_string()], std::path::Path::new("/"));
        child.wait().unwrap();
    }

    /// Puts the text at the key, once the server takes it.
    fn put(&self, world: &World, text: &str) {
        use data_encoding::BASE64;
        let body = serde_json::json!({
            "key": BASE64.encode(b"/drey/config"), "value": BASE64.encode(text.as_bytes()) });
        let (ca, cert, key) = (self.path("ca.pem"), self.path("cert.pem"), self.path("key.pem"));
        let url = format!("{}/v3/kv/put", self.url());
        let arguments =
            ["-sf", "--cacert", &ca, "--cert", &cert, "--key", &key, "-d", &body.to_string(), &url];
        world.eventually("etcd takes it", 30, || {
            bounded_to(30, "curl").args(arguments).output().unwrap().status.success()
        });
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn log_says(world: &World, text: &str) -> usize {
    let log = std::fs::read_to_string(world.path("daemon.log")).unwrap();
    log.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_configuration_in_etcd_is_watched_and_outlives_it() {
    let mut world = World::new("stores", &[("compose.yaml", COMPOSE)]);
    let mut etcd = Etcd::new();
    etcd.start();
    let first = std::fs::read_to_string(world.path("drey.toml")).unwrap();
    etcd.put(&world, &first);
    world.kill();
    let mut by_address = Command::new("sh");
    by_address.args(["-c", &format!("exec \"$0\" serve --config '{}'", etcd.address())]);
    world.spawn_by(by_address);
    world.eventually("the daemon answers", 30, || world.answers());
    let has = |repo: &str| {
        let events = world.drey(&["event", "list", "--repo", repo, "--json"]).unwrap_or_default();
        events.contains("\"look\"")
    };
    assert!(has("world") && !has("second"));

    etcd.put(&world, &format!("surprise = 1\n{first}"));
    world.eventually("the faulty one is refused", 30, || {
        log_says(&world, "the configuration is refused") == 1
    });
    assert!(log_says(&world, "surprise") > 0 && world.answers());

    let more = |name: &str| {
        let url = world.path("world.git");
        format!("{first}\n[[repo]]\nname = \"{name}\"\nurl = \"{url}\"\nbranches = [\"none\"]\n")
    };
    etcd.put(&world, &more("second"));
    world.eventually("the good one is in force", 30, || has("second"));

    etcd.stop();
    world.eventually("its absence is told", 30, || log_says(&world, "the configuration stays as it is") == 1);
    assert!(world.answers());
    etcd.start();
    world.eventually("its return is told", 60, || log_says(&world, "answers again") == 1);
    etcd.put(&world, &more("third"));
    world.eventually("it is watched again", 30, || has("third"));
}
