//! Which certificate a client gets: by the name it asks for.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::settings::ProxyError;

/// One wildcard certificate for the domain and the names one label below it.
#[derive(Debug)]
pub(super) struct Certificates {
    /// Without a dot at its end, lower case.
    domain: String,
    wildcard: ArcSwap<CertifiedKey>,
}

impl Certificates {
    /// Reads the chain and its key.
    pub(super) fn read(
        domain: &str,
        files: (&Path, &Path),
        provider: &CryptoProvider,
    ) -> Result<Self, ProxyError> {
        let wildcard = ArcSwap::from_pointee(Self::read_key(files, provider)?);
        Ok(Self { domain: domain.to_owned(), wildcard })
    }

    /// Reads them again: handshakes from now on get what is there now. What cannot be read changes nothing.
    pub(super) fn read_again(
        &self,
        files: (&Path, &Path),
        provider: &CryptoProvider,
    ) -> Result<(), ProxyError> {
        self.wildcard.store(Arc::new(Self::read_key(files, provider)?));
        Ok(())
    }

    pub(super) fn read_key(
        (certificate, key): (&Path, &Path),
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, ProxyError> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(|error| {
                ProxyError::certificate(certificate, format!("no certificates in PEM: {error}"))
            })?;
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| ProxyError::certificate(key, format!("no private key in PEM: {error}")))?;
        CertifiedKey::from_der(chain, private, provider).map_err(|error| {
            ProxyError::certificate(certificate, format!("does not go with its key: {error}"))
        })
    }

    /// The domain itself, or exactly one label below it: all that the wildcard covers.
    fn covers(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name == self.domain {
            return true;
        }
        let label = name.strip_suffix(&self.domain).and_then(|rest| rest.strip_suffix('.'));
        label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(name) if !self.covers(name) => None,
            // Without a name there is nothing to choose by: health checks and old clients.
            Some(_) | None => Some(self.wildcard.load_full()),
        }
    }
}
