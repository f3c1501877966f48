//! What the hosts of a repository ask of a visitor's TLS: a newer version, a certificate.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ALL_VERSIONS, Error, RootCertStore, ServerConfig};

use super::settings::ProxyError;
use crate::config::{RepositoryTls, TlsVersion};
use crate::domain::names::RepoName;

/// What browsers and gRPC speak.
const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// The policies in force. Handshakes and requests read them without a lock; they are replaced as a whole.
pub(super) struct Policies {
    provider: Arc<CryptoProvider>,
    certificates: Arc<dyn ResolvesServerCert>,
    current: ArcSwap<Current>,
    next_id: AtomicU64,
}

struct Current {
    default: Arc<Policy>,
    /// Only repositories that ask for more.
    repositories: HashMap<String, Arc<Policy>>,
}

/// One policy. Repositories that ask for the same share it.
pub(super) struct Policy {
    /// The same for what asks for the same, and never used again for anything else.
    pub(super) id: u64,
    /// Of its own, with keys of its own for tickets: what one policy let in is not resumed under another.
    pub(super) config: Arc<ServerConfig>,
    asks: Asks,
}

#[derive(Clone, PartialEq, Eq)]
struct Asks {
    minimum: TlsVersion,
    /// The bytes of the file.
    client_ca: Option<Vec<u8>>,
}

impl Policies {
    /// Without any of a repository's own.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        certificates: Arc<dyn ResolvesServerCert>,
    ) -> Result<Self, ProxyError> {
        let asks = Asks { minimum: TlsVersion::default(), client_ca: None };
        let config = server_config(provider, certificates.clone(), (asks.minimum, None), PROTOCOLS)?;
        let default = Arc::new(Policy { id: 0, config: Arc::new(config), asks });
        let current = ArcSwap::from_pointee(Current { default, repositories: HashMap::new() });
        Ok(Self { provider: provider.clone(), certificates, current, next_id: AtomicU64::new(1) })
    }

    /// Handshakes from now on go by these. A fault changes nothing.
    pub(super) fn replace(&self, asked: &BTreeMap<RepoName, RepositoryTls>) -> Result<(), ProxyError> {
        let before = self.current.load_full();
        let mut known: Vec<Arc<Policy>> = before.repositories.values().cloned().collect();
        let mut repositories = HashMap::new();
        for (repo, wanted) in asked.iter().filter(|(_, wanted)| **wanted != RepositoryTls::default()) {
            let asks = Asks::read(wanted)?;
            let policy = match known.iter().find(|policy| policy.asks == asks) {
                Some(policy) => policy.clone(),
                None => Arc::new(self.compile(asks, wanted.client_ca.as_deref())?),
            };
            known.push(policy.clone());
            repositories.insert(repo.as_str().to_owned(), policy);
        }
        self.current.store(Arc::new(Current { default: before.default.clone(), repositories }));
        Ok(())
    }

    /// Whether no repository asks for anything of its own.
    pub(super) fn are_plain(&self) -> bool {
        self.current.load().repositories.is_empty()
    }

    /// The policy of a repository; the common one where none is known.
    pub(super) fn of(&self, repo: Option<&str>) -> Arc<Policy> {
        let current = self.current.load();
        let own = repo.and_then(|repo| current.repositories.get(repo));
        own.unwrap_or(&current.default).clone()
    }

    fn compile(&self, asks: Asks, path: Option<&Path>) -> Result<Policy, ProxyError> {
        let verifier = match (&asks.client_ca, path) {
            (Some(pem), Some(path)) => Some(verifier(pem, path, &self.provider)?),
            (Some(_), None) | (None, _) => None,
        };
        let demands = (asks.minimum, verifier);
        let config = server_config(&self.provider, self.certificates.clone(), demands, PROTOCOLS)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Ok(Policy { id, config: Arc::new(config), asks })
    }
}

impl Asks {
    fn read(wanted: &RepositoryTls) -> Result<Self, ProxyError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| wrong(path, error));
        let client_ca = wanted.client_ca.as_deref().map(read).transpose()?;
        Ok(Self { minimum: wanted.min_version, client_ca })
    }
}

/// Demands a certificate that one of these authorities has signed.
fn verifier(
    pem: &[u8],
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, ProxyError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(path, error))?;
        roots.add(certificate).map_err(|error| wrong(path, error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    builder.build().map_err(|error| wrong(path, error))
}

fn wrong(path: &Path, error: impl std::fmt::Display) -> ProxyError {
    ProxyError::certificate(path, format!("[repo.tls] client_ca: {error}"))
}

/// How clients are received: with which certificates, from which version on, and whether they need one of their own.
pub(super) fn server_config(
    provider: &Arc<CryptoProvider>,
    certificates: Arc<dyn ResolvesServerCert>,
    (minimum, verifier): (TlsVersion, Option<Arc<dyn ClientCertVerifier>>),
    protocols: &[&[u8]],
) -> Result<ServerConfig, ProxyError> {
    let failed = |error: Error| ProxyError::Tls(error.to_string());
    let versions = match minimum {
        TlsVersion::Tls12 => ALL_VERSIONS,
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(versions).map_err(failed)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // Its keys are in memory alone and change by themselves: nothing is kept for each client.
    config.ticketer = Ticketer::new().map_err(failed)?;
    Ok(config)
}
