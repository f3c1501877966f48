//! drey's proxy with an authority, a clock that can be moved, and clients that trust whom they are told.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use drey::adapters::dns::DnsHook;
use drey::config::{Acme, AcmeChallenge};
use drey::domain::environment::Phase;
use drey::domain::names::{EnvironmentId, Generation};
use drey::domain::route::{Answer, Page, Route, RouteTable};
use drey::domain::time::Timestamp;
use drey::ports::{Clock, DnsRecords, RoutePublisher};
use drey::proxy::{AcmeState, HoldSettings, Proxy, ProxySettings, TlsSettings, acme_state};
use drey::supervisor::Supervisor;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::authority::Authority;
use super::eventually;

/// The real time and what it was moved by, in milliseconds.
#[derive(Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    /// From the real time on.
    pub(crate) fn set_ahead(&self, by: Duration) {
        self.0.store(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        let real = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        Timestamp::from_millis(i64::try_from(real).unwrap() + self.0.load(Ordering::Relaxed))
    }
}

/// A running proxy. It is to be ended by [`Drey::end`].
pub(crate) struct Drey {
    pub(crate) proxy: Proxy,
    supervisor: Supervisor,
    acme: Acme,
    folder: std::path::PathBuf,
}

impl Drey {
    /// Listens where the authority looks.
    pub(crate) async fn start(
        authority: &Authority,
        acme: Acme,
        folder: &Path,
        clock: &Arc<MovedClock>,
    ) -> Self {
        Self::start_at((authority.http, authority.https), acme, folder, clock).await
    }

    pub(crate) async fn start_at(
        (http, https): (u16, u16),
        acme: Acme,
        folder: &Path,
        clock: &Arc<MovedClock>,
    ) -> Self {
        let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let hook = || Arc::new(DnsHook::new(acme.hook.clone())) as Arc<dyn DnsRecords>;
        let settings = ProxySettings {
            https: address(https),
            http: address(http),
            domain: "qa.example".into(),
            tls: TlsSettings::Acme {
                directory: folder.to_owned(),
                records: (acme.challenge == AcmeChallenge::Dns01).then(hook),
                acme: acme.clone(),
            },
            dashboard_url: None,
            hold: HoldSettings::default(),
            robots: Default::default(),
            bounds: Default::default(),
            access_log: None,
        };
        let supervisor = Supervisor::new();
        let proxy = Proxy::bind(settings, &supervisor, clock.clone()).await.unwrap();
        Self { proxy, supervisor, acme, folder: folder.to_owned() }
    }

    pub(crate) fn publish(&self, hosts: &[&str]) {
        let route = |host: &&str| {
            let page = Page { phase: Phase::Building, reason: None, outcome: None, is_tired: false };
            let route = Route {
                environment: EnvironmentId(1),
                generation: Generation(1),
                name: format!("shop/{host}"),
                access: Default::default(),
                service: "web".into(),
                paths: Vec::new(),
                answer: Answer::Page(page),
            };
            (format!("{host}.qa.example"), route)
        };
        self.proxy.publish(RouteTable { hosts: hosts.iter().map(route).collect(), ..RouteTable::default() });
    }

    /// What a client that trusts this root is shown for the host.
    pub(crate) async fn shown(&self, host: &str, root: &CertificateDer<'static>) -> std::io::Result<Vec<u8>> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.proxy.https_address().unwrap()).await?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    }

    /// Waits for a certificate that the root vouches for.
    pub(crate) async fn eventually_shown(&self, host: &str, root: &CertificateDer<'static>) -> Vec<u8> {
        eventually(&format!("{host} has a certificate"), async || self.shown(host, root).await.ok()).await
    }

    /// Of drey's own authority.
    pub(crate) fn local_root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.folder.join("ca.pem")).unwrap()
    }

    pub(crate) fn state(&self) -> AcmeState {
        acme_state(&self.folder, &self.acme.directory)
    }

    /// Waits until an order has failed, and says why.
    pub(crate) async fn eventually_failed(&self) -> String {
        let failed = async || self.state().failures.first().map(|(_, _, reason)| reason.clone());
        eventually("an order has failed", failed).await
    }

    /// Orders of the last hour, those that failed too.
    pub(crate) fn orders(&self) -> usize {
        let tries = self.folder.join("acme").read_dir().unwrap().flatten().find_map(|entry| {
            let text = std::fs::read_to_string(entry.path().join("tries.json")).ok()?;
            serde_json::from_str::<serde_json::Value>(&text).ok()
        });
        tries.map_or(0, |tries| tries["orders"].as_array().unwrap().len())
    }

    pub(crate) async fn end(self) {
        self.supervisor.drain();
        assert!(self.supervisor.finish(Duration::from_secs(10)).await, "something did not end by itself");
    }
}
