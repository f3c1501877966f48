//! What the proxy is told at its start, and why it may refuse to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::ports::AccessLog;

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
    /// Linked from the proxy's own pages.
    pub dashboard_url: Option<String>,
    /// `proxy.robots`: what search engines are told.
    pub robots: Robots,
    /// Where it is told what visitors ask for.
    pub access_log: Option<Arc<dyn AccessLog>>,
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

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSettings {
    /// An authority of our own, made on the first start and kept in this directory.
    LocalCa { directory: PathBuf },
    /// PEM files: the chain, leaf first, and its private key.
    Files { certificate: PathBuf, key: PathBuf },
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
