//! `[proxy]`: where branches live, and how they are reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::proxy_bounds::{ProxyLimits, ProxyTimeouts};
use super::reader::Section;
use super::sections::networks;
use crate::domain::network::Network;

/// `[proxy]`.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub domain: String,
    pub https: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub tls: TlsMode,
    /// Proxies before this one, whose word on the client is passed on.
    pub trusted_proxies: Vec<Network>,
    pub timeouts: ProxyTimeouts,
    pub limits: ProxyLimits,
}

/// `[proxy.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// An authority of drey's own, made at the first start.
    LocalCa,
    /// A certificate (with its chain) and its key, PEM.
    Files { certificate: PathBuf, key: PathBuf },
}

impl Proxy {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        section.read("provider", |value| match value.as_str() {
            Some("embedded") => Ok(()),
            Some(other @ ("nginx" | "haproxy" | "caddy" | "traefik")) => {
                Err(format!("{other:?} is not supported by this version; leave it out or write \"embedded\""))
            }
            Some(_) | None => Err("must be \"embedded\"".to_owned()),
        });
        let domain = section.read("domain", |value| {
            let domain = value.as_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
            let label = |label: &str| {
                !label.is_empty()
                    && label.len() <= 63
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            };
            // 253 octets in all; the longest first part is 63, and a dot.
            if domain.len() <= 189 && domain.split('.').all(label) {
                return Ok(domain);
            }
            Err("must be a domain name, for instance \"qa.example\"".to_owned())
        });
        let (https, http) = (section.address("https"), section.address("http"));
        let reachable = https.is_some() || http.is_some() || section.has_fault("http");
        section.needed("https", reachable, "neither https nor http is given: nothing could be reached");
        section.needed("domain", domain.is_some(), "is needed: branches live at <slug>.<domain>");
        let read = Self {
            domain: domain.unwrap_or_default(),
            https,
            http,
            tls: tls(&mut section.section("tls")),
            trusted_proxies: section.read("trusted_proxies", networks).unwrap_or_default(),
            timeouts: ProxyTimeouts::read(&mut section.section("timeouts")),
            limits: ProxyLimits::read(&mut section.section("limits")),
        };
        section.finish();
        read
    }
}

fn tls(section: &mut Section<'_>) -> TlsMode {
    let mode = section.text("mode").unwrap_or_else(|| "local-ca".to_owned());
    let (certificate, key) = (section.path("certificate"), section.path("key"));
    section.finish();
    match (mode.as_str(), certificate, key) {
        ("local-ca", None, None) => TlsMode::LocalCa,
        ("files", Some(certificate), Some(key)) => TlsMode::Files { certificate, key },
        ("files", ..) => {
            section.fault("mode", "\"files\" needs `certificate` and `key`, paths of PEM files");
            TlsMode::LocalCa
        }
        ("acme", ..) => {
            section.fault("mode", "\"acme\" is not supported by this version; use \"local-ca\" or \"files\"");
            TlsMode::LocalCa
        }
        _ => {
            section.fault("mode", "must be \"local-ca\" (then without certificate and key) or \"files\"");
            TlsMode::LocalCa
        }
    }
}
