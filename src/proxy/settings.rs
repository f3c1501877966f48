//! What the proxy is told at its start, and why it may refuse to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::bounds::Bounds;
use crate::config::{Acme, CertificateFiles, RepositoryTls};
use crate::domain::dashboard::Origin;
use crate::domain::names::RepoName;
use crate::ports::{AccessLog, DnsRecords};

/// Where the proxy listens and what it presents. At least one of `https` and `http` is set.
#[derive(Clone)]
pub struct ProxySettings {
    /// `proxy.https`. Port 0: the system chooses.
    pub https: Option<SocketAddr>,
    /// `proxy.http`: redirects where `https` is set, else it passes requests on in plain.
    pub http: Option<SocketAddr>,
    /// `proxy.domain`, lower case, without a dot at its end. Branches live one label below it.
    pub domain: String,
    pub tls: TlsSettings,
    /// Where people sign in; linked from the proxy's own pages, to those who may look at the branch.
    pub dashboard_url: Option<Origin>,
    pub hold: HoldSettings,
    /// `proxy.robots`: what search engines are told.
    pub robots: Robots,
    /// Where it is told what visitors ask for.
    pub access_log: Option<Arc<dyn AccessLog>>,
    pub bounds: Bounds,
}

/// Sockets that listen already; each is used instead of the address of its key.
#[derive(Debug, Default)]
pub struct Sockets {
    pub https: Option<std::net::TcpListener>,
    pub http: Option<std::net::TcpListener>,
}

/// Who answers `/robots.txt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Robots {
    /// The proxy, at every host: nobody may walk through branches.
    #[default]
    Deny,
    /// The application.
    App,
}

/// Requests that wait for an environment which is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldSettings {
    /// Longest wait of one.
    pub time: Duration,
    /// Over all environments together.
    pub requests: usize,
    /// For one environment.
    pub of_environment: usize,
}

impl Default for HoldSettings {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), requests: 4096, of_environment: 1024 }
    }
}

/// Where the certificates come from.
#[derive(Clone)]
pub enum TlsSettings {
    /// An authority of our own, made on the first start and kept in this directory.
    LocalCa { directory: PathBuf },
    /// PEM files, one pair at least; the first is for whoever names no host.
    Files(Vec<CertificateFiles>),
    /// Of an authority that is asked for them; until one is there, the one of the local authority. All is kept below this
    /// directory. `records` is for `dns-01`.
    Acme { directory: PathBuf, acme: Acme, records: Option<Arc<dyn DnsRecords>> },
}

/// What of TLS a running proxy takes up anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsRules {
    /// What the hosts of repositories ask of their visitors.
    pub repositories: BTreeMap<RepoName, RepositoryTls>,
    /// `proxy.hsts`: how long browsers are to remember that a host speaks TLS only; none: they are not told.
    pub hsts: Option<Duration>,
}

/// Why the proxy does not start. Says the key, the reason and the way out.
#[derive(Debug, Error)]
pub enum ProxyError {
    #[error("proxy.https, proxy.http: neither is set; set one, for instance https = \"0.0.0.0:443\"")]
    NothingToListenOn,
    #[error("{key}: cannot listen on {address}: {reason}")]
    Listen { key: &'static str, address: SocketAddr, reason: String },
    #[error("proxy.tls: {path}: {reason}")]
    Certificate { path: PathBuf, reason: String },
    #[error("proxy.tls: {0}")]
    Tls(String),
}

impl ProxyError {
    pub(super) fn certificate(path: impl Into<PathBuf>, reason: impl std::fmt::Display) -> Self {
        Self::Certificate { path: path.into(), reason: reason.to_string() }
    }
}
