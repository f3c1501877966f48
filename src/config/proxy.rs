//! `[proxy]`: where branches live, and how they are reached.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;

use super::reader::{Section, at_least_one};

/// `[proxy]`.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub domain: String,
    pub https: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub tls: TlsMode,
    pub gate: Gate,
}

/// `[proxy.gate]`: requests that wait for an environment which is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Longest wait of one.
    pub hold: Duration,
    /// At once, over all environments.
    pub held: usize,
    /// At once, for one environment.
    pub held_per_environment: usize,
}

/// Whoever waits longer was given up by most clients.
const LONGEST_HOLD: Duration = Duration::from_secs(10 * 60);

impl Gate {
    fn read(section: &mut Section<'_>) -> Self {
        let hold = section.duration("hold").unwrap_or(Duration::from_secs(60));
        if hold > LONGEST_HOLD {
            section.fault("hold", "must be 10m at most: clients give up before");
        }
        let many = |value: &Value| {
            let number = usize::try_from(at_least_one(value)?).ok().filter(|number| *number <= MOST_HELD);
            number.ok_or_else(|| format!("must be {MOST_HELD} at most"))
        };
        let read = Self {
            hold: hold.min(LONGEST_HOLD),
            held: section.read("held", many).unwrap_or(4096),
            held_per_environment: section.read("held_per_environment", many).unwrap_or(1024),
        };
        section.finish();
        read
    }
}

/// More than any daemon has connections.
const MOST_HELD: usize = 1_000_000;

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
        let tls = tls(&mut section.section("tls"));
        let gate = Gate::read(&mut section.section("gate"));
        let read = Self { domain: domain.unwrap_or_default(), https, http, tls, gate };
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
