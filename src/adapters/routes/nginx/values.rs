//! What the template of nginx is given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::NginxSettings;
use super::version::Version;
use crate::adapters::routes::certificates::certificate_for;
use crate::adapters::routes::disk::{Disk, MARK, pem_name};
use crate::adapters::routes::model::{Backend, Environment, Frame, Model, Policy};
use crate::domain::backend::Balance;
use crate::domain::route::Scheme;

/// Answers may take so long where no limit is configured: a day.
const UNLIMITED: u64 = 86_400;
/// Where Debian and most others have what the system trusts.
const SYSTEM_TRUST: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) struct Values<'a> {
    pub(super) frame: &'a Frame,
    pub(super) model: &'a Model,
    pub(super) version: Version,
    pub(super) disk: &'a Disk,
    pub(super) settings: &'a NginxSettings,
}

/// A `server {}` of its own.
#[derive(Serialize)]
struct Server {
    names: Vec<String>,
    is_first: bool,
    certificate: Option<String>,
    key: Option<String>,
    newest_only: bool,
    client_authority: Option<String>,
    backend: Option<TlsBackend>,
}

/// TLS to containers, which no map can say.
#[derive(Serialize)]
struct TlsBackend {
    upstream: String,
    server_name: Option<String>,
    identity: Option<String>,
    authority: Option<String>,
}

/// Certificates and keys by their names in the store.
type Pems = BTreeMap<String, Vec<u8>>;

impl Values<'_> {
    pub(super) fn read(&self) -> (Json, Pems) {
        let mut pems = Pems::new();
        let servers = self.servers(&mut pems);
        let (frame, disk) = (self.frame, self.disk);
        let path = |name: &str| disk.run().join(name).display().to_string();
        let plain = |backend: &Backend| backend.scheme == Scheme::Http;
        let hosts = self.model.direct().filter(|(_, backend)| plain(backend));
        let hosts: Vec<Json> =
            hosts.map(|(host, backend)| json!({"host": host, "upstream": upstream(backend)})).collect();
        let values = json!({
            "mark": MARK,
            "include": self.settings.include.is_some(),
            "common": self.common(),
            "pid": path("nginx.pid"),
            "error_log": path("error.log"),
            "temporary": disk.run().display().to_string(),
            "user": self.settings.user,
            "confirm": self.settings.confirm.to_string(),
            "visits": self.visits(),
            "http2_in_listen": self.version.has_http2_in_listen(),
            "rejects": self.version.rejects_handshakes(),
            "domain": frame.domain,
            "gate": frame.gate.to_string(),
            "https": frame.https.map(|address| address.to_string()),
            "http": frame.http.map(|address| address.to_string()),
            "https_port": frame.https.map(|it| it.port()).filter(|port| *port != 443)
                .map_or_else(String::new, |port| format!(":{port}")),
            "authority": frame.authority,
            "hsts": frame.hsts.map(|time| time.as_secs()),
            "robots_by_app": frame.robots_by_app,
            "hosts": hosts,
            "upstreams": self.upstreams(),
            "servers": servers,
        });
        (values, pems)
    }

    /// What counts for all servers: said once, or in each of them.
    fn common(&self) -> Json {
        let frame = self.frame;
        json!({
            "https": frame.https.is_some(),
            "visits": self.visits(),
            "trusted": frame.trusted,
            "header_timeout": frame.header_timeout.as_secs(),
            "idle_timeout": frame.idle_timeout.as_secs(),
            "connect_timeout": frame.connect_timeout.as_secs(),
            "upstream_timeout": frame.upstream_timeout.map_or(UNLIMITED, |time| time.as_secs()),
        })
    }

    fn visits(&self) -> Option<String> {
        self.settings.visits.as_ref().map(|path| path.display().to_string())
    }

    fn upstreams(&self) -> Vec<Json> {
        let one = |backend: &Backend| {
            let servers: Vec<String> = backend.servers.iter().map(ToString::to_string).collect();
            let least = backend.balance == Balance::LeastConnections && servers.len() > 1;
            json!({"name": upstream(backend), "servers": servers, "least": least})
        };
        self.model.direct().map(|(_, backend)| one(backend)).collect()
    }

    /// The first is for all that need none of their own.
    fn servers(&self, pems: &mut Pems) -> Vec<Server> {
        let mut servers = vec![self.server(vec![format!(".{}", self.frame.domain)], 0, pems)];
        if let Some(first) = servers.first_mut() {
            first.is_first = true;
        }
        for (number, certificate) in self.frame.certificates.iter().enumerate().skip(1) {
            let mut names = certificate.names.clone();
            names.sort_unstable();
            names.dedup();
            if !names.is_empty() {
                servers.push(self.server(names, number, pems));
            }
        }
        for environment in self.model.environments.values() {
            self.own_servers(environment, &mut servers, pems);
        }
        let mut seen = BTreeSet::new();
        for server in servers.iter_mut().rev() {
            // What is said for one host counts before what is said for many.
            server.names.retain(|name| seen.insert(name.clone()));
        }
        servers.retain(|server| !server.names.is_empty());
        servers
    }

    /// For TLS to a container; for the policy of the repository; for hosts that lie outside the domain.
    fn own_servers(&self, environment: &Environment, servers: &mut Vec<Server>, pems: &mut Pems) {
        let mut shared: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let has_policy = environment.policy != Policy::default();
        for host in &environment.hosts {
            let number = certificate_for(host, &self.frame.certificates);
            let backend = environment.direct.get(host).filter(|backend| backend.scheme == Scheme::Https);
            if let Some(backend) = backend {
                let mut server = self.server(vec![host.clone()], number, pems);
                server.backend = Some(tls_backend(backend, &self.disk.store(), pems));
                self.ask(&mut server, &environment.policy, pems);
                servers.push(server);
            } else if has_policy || !self.is_below(host) {
                shared.entry(number).or_default().push(host.clone());
            }
        }
        if let Some(primary) = environment.family.as_ref().filter(|_| has_policy) {
            let number = certificate_for(primary, &self.frame.certificates);
            shared.entry(number).or_default().push(family(primary));
        }
        for (number, names) in shared {
            let mut server = self.server(names, number, pems);
            self.ask(&mut server, &environment.policy, pems);
            servers.push(server);
        }
    }

    fn server(&self, names: Vec<String>, certificate: usize, pems: &mut Pems) -> Server {
        let certificate = self.frame.certificates.get(certificate).filter(|_| self.frame.https.is_some());
        let store = self.disk.store();
        Server {
            names,
            is_first: false,
            certificate: certificate.map(|it| put(&it.chain, &store, pems)),
            key: certificate.map(|it| put(&it.key, &store, pems)),
            newest_only: false,
            client_authority: None,
            backend: None,
        }
    }

    fn ask(&self, server: &mut Server, policy: &Policy, pems: &mut Pems) {
        server.newest_only = policy.newest_only;
        server.client_authority =
            policy.client_authority.as_ref().map(|pem| put(pem, &self.disk.store(), pems));
    }

    fn is_below(&self, host: &str) -> bool {
        host.strip_suffix(self.frame.domain.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// Nobody else has this name.
fn upstream(backend: &Backend) -> String {
    format!("drey_{}", backend.name)
}

fn tls_backend(backend: &Backend, store: &Path, pems: &mut Pems) -> TlsBackend {
    let tls = backend.tls.as_deref();
    let authority = tls.filter(|tls| tls.verify).map(|tls| match &tls.authority {
        Some(pem) => put(pem.as_bytes(), store, pems),
        None => SYSTEM_TRUST.to_owned(),
    });
    TlsBackend {
        upstream: upstream(backend),
        server_name: tls.and_then(|tls| tls.server_name.clone()),
        identity: tls.and_then(|tls| tls.identity.as_ref()).map(|pem| put(pem, store, pems)),
        authority,
    }
}

/// `a.x` → the expression for all `a--b.x`.
fn family(primary: &str) -> String {
    let (slug, domain) = primary.split_once('.').unwrap_or((primary, ""));
    format!("\"~^{slug}--[a-z0-9-]+\\.{}$\"", domain.replace('.', "\\."))
}

/// Keeps it for the store; its path there.
fn put(bytes: &[u8], store: &Path, pems: &mut Pems) -> String {
    let name = pem_name(bytes);
    let path = store.join(&name).display().to_string();
    pems.insert(name, bytes.to_vec());
    path
}
