//! A real authority on this machine: Pebble, with a name server that knows every name and takes records.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use drey::config::{Acme, AcmeChallenge};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::eventually;

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// Ended with the test.
pub(crate) struct Authority {
    programs: Vec<Child>,
    folder: TempDir,
    port: u16,
    management: u16,
    records: u16,
    dns: u16,
    /// Where it looks for proofs over HTTP and over TLS.
    pub(crate) http: u16,
    pub(crate) https: u16,
}

impl Authority {
    /// `settings` are variables of Pebble's environment.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::configured(settings, &[]).await
    }

    /// It takes accounts only that are bound to one that it knows by this name and this key.
    pub(crate) async fn start_bound(key_id: &str, hmac_key: &str) -> Self {
        let keys = serde_json::json!({ key_id: hmac_key });
        let more = [("externalAccountBindingRequired", true.into()), ("externalAccountMACKeys", keys)];
        Self::configured(&[], &more).await
    }

    async fn configured(settings: &[(&str, &str)], more: &[(&str, serde_json::Value)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, management, records, dns, http, https] = std::array::from_fn(|_| free_port());
        let mut authority =
            Self { programs: Vec::new(), folder, port, management, records, dns, http, https };
        authority.write_certificate();
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-dns01", &format!("127.0.0.1:{dns}"), "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.args(["-defaultIPv6", "", "-management", &format!("127.0.0.1:{records}")]);
        authority.run(names, "names.log");

        let mut config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": authority.file("server.pem"), "privateKey": authority.file("server.key"),
            "httpPort": http, "tlsPort": https, "ocspResponderURL": "",
        }});
        for (key, value) in more {
            config["pebble"][key] = value.clone();
        }
        std::fs::write(authority.file("pebble.json"), config.to_string()).unwrap();
        authority.sign(settings).await;
        authority
    }

    /// The same again with nothing in its memory: another root, no accounts.
    pub(crate) async fn start_anew(&mut self) {
        let mut pebble = self.programs.remove(1);
        pebble.kill().unwrap();
        pebble.wait().unwrap();
        self.sign(&[]).await;
    }

    async fn sign(&mut self, settings: &[(&str, &str)]) {
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(self.file("pebble.json"));
        pebble.args(["-strict", "-dnsserver", &format!("127.0.0.1:{}", self.dns)]);
        pebble.envs([
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_WFE_NONCEREJECT", "0"),
            ("PEBBLE_AUTHZREUSE", "0"),
        ]);
        pebble.envs(settings.iter().copied());
        self.run(pebble, "pebble.log");
        self.wait().await;
    }

    async fn wait(&self) {
        let is_open = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let ports = [self.port, self.management, self.records];
        eventually("the authority listens", async || ports.into_iter().all(is_open).then_some(())).await;
    }

    /// What drey is told of it.
    pub(crate) fn settings(&self, challenge: AcmeChallenge) -> Acme {
        let hook = match challenge {
            AcmeChallenge::Dns01 => vec![self.hook(), format!("http://127.0.0.1:{}", self.records)],
            AcmeChallenge::Http01 | AcmeChallenge::TlsAlpn01 => Vec::new(),
        };
        Acme {
            directory: format!("https://localhost:{}/dir", self.port),
            directory_ca: Some(self.file("ca.pem")),
            contact: vec!["mailto:ops@qa.example".to_owned()],
            challenge,
            hook,
            propagation: Duration::from_millis(10),
            orders_per_hour: 10,
            binding: None,
        }
    }

    /// Who signs: whom browsers would trust.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--cacert"]).arg(self.file("ca.pem")).arg(url);
        let told = curl.output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        CertificateDer::from_pem_slice(&told.stdout).unwrap()
    }

    /// What the hook was called with, line by line.
    pub(crate) fn records(&self) -> Vec<String> {
        let told = std::fs::read_to_string(self.file("records.log")).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }

    /// As an operator would write it, for this name server.
    fn hook(&self) -> String {
        let (hook, log) = (self.file("hook"), self.file("records.log"));
        let text = format!(
            "#!/bin/sh\nset -eu\n# hook URL present|cleanup NAME VALUE\necho \"$2 $3\" >>{}\n\
             case $2 in present) what=set-txt ;; cleanup) what=clear-txt ;; esac\n\
             exec curl -sS --fail -d \"{{\\\"host\\\":\\\"$3.\\\",\\\"value\\\":\\\"$4\\\"}}\" \"$1/$what\"\n",
            log.display()
        );
        std::fs::write(&hook, text).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        hook.display().to_string()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&mut self, mut program: Command, log: &str) {
        let log = std::fs::File::create(self.file(log)).unwrap();
        program.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let name = program.get_program().to_owned();
        let child = program.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; `script/bootstrap --tests` installs it", name.display())
        });
        self.programs.push(child);
    }

    /// Of the authority's own HTTPS.
    fn write_certificate(&self) {
        let mut authority = CertificateParams::default();
        // Not the name that the other certificate has by default: it would look like one that signs itself.
        authority.distinguished_name.push(DnType::CommonName, "the test's authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(self.file("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::from_params(&authority, &key);
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let server = server.signed_by(&server_key, &issuer).unwrap();
        std::fs::write(self.file("server.pem"), server.pem()).unwrap();
        std::fs::write(self.file("server.key"), server_key.serialize_pem()).unwrap();
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for program in &mut self.programs {
            program.kill().ok();
            program.wait().ok();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.file("pebble.log")).unwrap_or_default();
            eprintln!("the authority's log:\n{log}");
        }
    }
}

/// A port that nobody has, out of those that the system gives to nobody by itself, and no other test looks for.
fn free_port() -> u16 {
    let start = u16::try_from(std::process::id() % 200).unwrap() * 10;
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| 30_000 + (start + NEXT_PORT.fetch_add(1, Ordering::Relaxed)) % 2_000)
        .take(2_000)
        .find(is_free)
        .unwrap()
}
