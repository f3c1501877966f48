//! The server side of TLS: which versions, which protocols, which certificate.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;

use super::certificates::Certificates;
use super::local_ca::LocalCa;
use super::settings::{ProxyError, ProxySettings, TlsSettings};
use crate::domain::time::Timestamp;

/// What the listeners need of TLS.
pub(super) struct Tls {
    pub(super) acceptor: TlsAcceptor,
    /// The local authority's certificate, for whoever wants to trust it.
    pub(super) authority: Option<PathBuf>,
}

impl Tls {
    pub(super) fn new(
        settings: &ProxySettings,
        provider: &Arc<CryptoProvider>,
        now: Timestamp,
    ) -> Result<Self, ProxyError> {
        let (certificate, key, authority) = match &settings.tls {
            TlsSettings::Files { certificate, key } => (certificate.clone(), key.clone(), None),
            TlsSettings::LocalCa { directory } => {
                let local = LocalCa::new(directory.clone());
                local.ensure(&settings.domain, now)?;
                let (certificate, key) = local.leaf();
                (certificate, key, Some(local.authority()))
            }
        };
        let certificates = Certificates::read(&settings.domain, (&certificate, &key), provider)?;
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ProxyError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority })
    }
}
