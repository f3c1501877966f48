//! What the template of `HAProxy` is given, and the files beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::HaproxySettings;
use crate::adapters::routes::certificates::certificate_for;
use crate::adapters::routes::disk::{Disk, MARK, pem_name};
use crate::adapters::routes::model::{Backend, Certificate, Frame, Model, Policy};
use crate::domain::backend::Balance;
use crate::domain::route::Scheme;

/// Answers may take so long where no limit is configured: a day.
const UNLIMITED: u64 = 86_400;
/// Where Debian and most others have what the system trusts.
const SYSTEM_TRUST: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) struct Values<'a> {
    pub(super) frame: &'a Frame,
    pub(super) model: &'a Model,
    pub(super) disk: &'a Disk,
    pub(super) settings: &'a HaproxySettings,
}

/// Certificates and keys by their names in the store.
type Pems = BTreeMap<String, Vec<u8>>;

impl Values<'_> {
    pub(super) fn read(&self) -> (Json, Pems) {
        let mut pems = Pems::new();
        let (frame, disk) = (self.frame, self.disk);
        let mut put = |bytes: &[u8]| put(bytes, &disk.store(), &mut pems);
        for certificate in &frame.certificates {
            put(&together(certificate));
        }
        for environment in self.model.environments.values() {
            if let Some(authority) = &environment.policy.client_authority {
                put(authority);
            }
        }
        let authority = frame.authority.as_ref().map(|pem| put(pem.as_bytes()));
        let backends: Vec<Json> =
            self.model.direct().map(|(_, backend)| values_of(backend, &mut put)).collect();
        let path = |name: &str| disk.run().join(name).display().to_string();
        let values = json!({
            "mark": MARK,
            "generation": disk.generation(MARK).display().to_string(),
            "pid": path("haproxy.pid"),
            "socket": path("haproxy.sock"),
            "user": self.settings.user,
            "visits": self.settings.visits.as_deref().map(Path::display).map(|path| path.to_string()),
            "gate": frame.gate.to_string(),
            "https": frame.https.map(|address| address.to_string()),
            "http": frame.http.map(|address| address.to_string()),
            "https_port": frame.https.map(|it| it.port()).filter(|port| *port != 443)
                .map_or_else(String::new, |port| format!(":{port}")),
            "policies": !policies(self.model).is_empty(),
            "authority": authority,
            "hsts": frame.hsts.map(|time| time.as_secs()),
            "robots_by_app": frame.robots_by_app,
            "trusted": frame.trusted,
            "header_timeout": frame.header_timeout.as_secs(),
            "idle_timeout": frame.idle_timeout.as_secs(),
            "connect_timeout": frame.connect_timeout.as_secs(),
            "upstream_timeout": frame.upstream_timeout.map_or(UNLIMITED, |time| time.as_secs()),
            "backends": backends,
        });
        (values, pems)
    }
}

fn values_of(backend: &Backend, put: &mut impl FnMut(&[u8]) -> String) -> Json {
    let mut options = String::new();
    match backend.scheme {
        Scheme::Http | Scheme::Tcp => {}
        Scheme::H2c => options.push_str(" proto h2"),
        Scheme::Https => {
            options.push_str(" ssl alpn h2,http/1.1");
            let tls = backend.tls.as_deref();
            match tls.filter(|tls| tls.verify) {
                None => options.push_str(" verify none"),
                Some(tls) => {
                    let authority = tls.authority.as_ref().map(|pem| put(pem.as_bytes()));
                    let authority = authority.unwrap_or_else(|| SYSTEM_TRUST.to_owned());
                    options.push_str(&format!(" verify required ca-file {authority}"));
                }
            }
            if let Some(name) = tls.and_then(|tls| tls.server_name.as_ref()) {
                options.push_str(&format!(" sni str({name})"));
            }
            if let Some(identity) = tls.and_then(|tls| tls.identity.as_ref()) {
                options.push_str(&format!(" crt {}", put(identity)));
            }
        }
    }
    json!({
        "name": backend.name,
        "servers": backend.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "least": backend.balance == Balance::LeastConnections,
        "sticky": backend.sticky,
        "timeout": backend.timeout.map(|time| time.as_secs()),
        "options": options,
    })
}

/// A line for each host that leads straight to containers.
pub(super) fn hosts(model: &Model) -> String {
    let mut text = String::new();
    for (host, backend) in model.direct() {
        line(&mut text, format_args!("{host} {}", backend.name));
    }
    text
}

/// A line for each host whose repository asks something of its visitors' TLS.
pub(super) fn policies(model: &Model) -> String {
    let mut text = String::new();
    for environment in model.environments.values().filter(|it| it.policy != Policy::default()) {
        let name = policy_name(&environment.policy);
        for host in environment.hosts.iter().chain(&environment.family) {
            line(&mut text, format_args!("{host} {name}"));
        }
    }
    text
}

fn policy_name(policy: &Policy) -> String {
    let version = if policy.newest_only { "1.3" } else { "1.2" };
    format!("{version}-{}", policy.client_authority.as_ref().map_or_else(String::new, |pem| pem_name(pem)))
}

/// Each certificate with the names that it is shown to; those with rules of their own name by name.
pub(super) fn certificates(frame: &Frame, model: &Model, store: &Path) -> String {
    let mut text = String::new();
    let path = |bytes: &[u8]| store.join(pem_name(bytes)).display().to_string();
    let file = |certificate: &Certificate| path(&together(certificate));
    let domain = &frame.domain;
    for environment in model.environments.values() {
        let policy = &environment.policy;
        for host in environment.hosts.iter().chain(&environment.family) {
            let is_below = host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'));
            let Some(certificate) = frame.certificates.get(certificate_for(host, &frame.certificates)) else {
                continue;
            };
            if *policy == Policy::default() && is_below {
                continue;
            }
            let mut options = Vec::new();
            if policy.newest_only {
                options.push("ssl-min-ver TLSv1.3".to_owned());
            }
            if let Some(authority) = &policy.client_authority {
                options.push(format!("verify required ca-file {}", path(authority)));
            }
            let options =
                if options.is_empty() { String::new() } else { format!(" [{}]", options.join(" ")) };
            line(&mut text, format_args!("{}{options} {host}", file(certificate)));
        }
    }
    for (number, certificate) in frame.certificates.iter().enumerate() {
        let mut names: BTreeSet<String> = certificate.names.iter().cloned().collect();
        if number == 0 {
            names.extend([format!("*.{domain}"), domain.clone()]);
        }
        let names: Vec<String> = names.into_iter().collect();
        line(&mut text, format_args!("{} {}", file(certificate), names.join(" ")));
    }
    text
}

/// Chain and key in one file, as `HAProxy` wants them.
fn together(certificate: &Certificate) -> Vec<u8> {
    [certificate.chain.as_slice(), b"\n", &certificate.key].concat()
}

fn put(bytes: &[u8], store: &Path, pems: &mut Pems) -> String {
    let name = pem_name(bytes);
    let path = store.join(&name).display().to_string();
    pems.insert(name, bytes.to_vec());
    path
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written: std::fmt::Result = writeln!(text, "{arguments}");
}
