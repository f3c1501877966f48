//! The server side of TLS: which versions, which protocols, which certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_util::sync::CancellationToken;

use super::certificates::Certificates;
use super::local_ca::LocalCa;
use super::settings::{ProxyError, ProxySettings, TlsSettings};
use crate::domain::time::Timestamp;
use crate::ports::Clock;

/// How often the certificate is looked at: much more often than in its last month.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What the listeners need of TLS.
pub(super) struct Tls {
    pub(super) acceptor: TlsAcceptor,
    /// The local authority's certificate, for whoever wants to trust it.
    pub(super) authority: Option<PathBuf>,
    pub(super) renewal: Arc<Renewal>,
}

/// Keeps the certificate in use a valid one.
pub(super) struct Renewal {
    domain: String,
    source: TlsSettings,
    provider: Arc<CryptoProvider>,
    certificates: Arc<Certificates>,
}

impl Tls {
    pub(super) fn new(
        settings: &ProxySettings,
        provider: &Arc<CryptoProvider>,
        now: Timestamp,
    ) -> Result<Self, ProxyError> {
        let (certificate, key) = current(&settings.tls, &settings.domain, now)?;
        let certificates = Certificates::read(&settings.domain, (&certificate, &key), provider)?;
        let certificates = Arc::new(certificates);
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ProxyError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let authority = match &settings.tls {
            TlsSettings::Files { .. } => None,
            TlsSettings::LocalCa { directory } => Some(LocalCa::new(directory.clone()).authority()),
        };
        let renewal = Renewal {
            domain: settings.domain.clone(),
            source: settings.tls.clone(),
            provider: provider.clone(),
            certificates,
        };
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority, renewal: Arc::new(renewal) })
    }
}

impl Renewal {
    /// Until the daemon drains.
    pub(super) async fn run(&self, clock: Arc<dyn Clock>, draining: CancellationToken) {
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
            if let Err(error) = self.renew(clock.now()) {
                tracing::error!(%error, "the certificate cannot be renewed; the old one stays in use");
            }
        }
    }

    /// Makes the certificate anew where it is ours and old, and takes what is in the files into use.
    pub(super) fn renew(&self, now: Timestamp) -> Result<(), ProxyError> {
        let (certificate, key) = current(&self.source, &self.domain, now)?;
        self.certificates.read_again((&certificate, &key), &self.provider)
    }
}

/// The files of a certificate that is valid now, where it is ours to see to that.
fn current(source: &TlsSettings, domain: &str, now: Timestamp) -> Result<(PathBuf, PathBuf), ProxyError> {
    match source {
        TlsSettings::Files { certificate, key } => Ok((certificate.clone(), key.clone())),
        TlsSettings::LocalCa { directory } => {
            let local = LocalCa::new(directory.clone());
            local.ensure(domain, now)?;
            Ok(local.leaf())
        }
    }
}
