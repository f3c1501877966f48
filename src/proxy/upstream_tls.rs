//! TLS to a container that speaks it: without looking at its certificate, unless labels say how to verify it.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error};

use super::backend_verifier::verifier;
use crate::domain::backend::BackendTls;

/// Which protocols a container may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Either,
    /// For what HTTP/2 has no word for, and where HTTP/1.1 was chosen before.
    Http1,
}

/// What is needed to speak TLS to one container.
#[derive(Debug)]
pub(super) struct TlsClient {
    either: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// By these labels; without, any certificate will do. The error is in words for people.
    pub(super) fn new(tls: Option<&BackendTls>, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier(tls, provider)?);
        let mut config = match tls.and_then(|tls| tls.identity.as_deref()) {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let refused = |error: &dyn std::fmt::Display| format!("drey.upstream.client-cert: {error}");
                let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
                let chain = chain.map_err(|error| refused(&error))?;
                let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| refused(&error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| refused(&error))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = tls.and_then(|tls| tls.server_name.clone()).map(ServerName::try_from).transpose();
        let name = name.map_err(|error| format!("drey.upstream.server-name: {error}"))?;
        Ok(Self { either: Arc::new(config), http1, name })
    }

    pub(super) fn config(&self, offer: Offer) -> Arc<ClientConfig> {
        match offer {
            Offer::Either => self.either.clone(),
            Offer::Http1 => self.http1.clone(),
        }
    }

    /// Without a name nothing is said of whom is meant: an address is never sent.
    pub(super) fn name(&self, address: IpAddr) -> ServerName<'static> {
        self.name.clone().unwrap_or_else(|| ServerName::IpAddress(address.into()))
    }
}

/// What was wrong with TLS, if that was it: in words for people, with the label that helps.
pub(super) fn fault(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut current = Some(error);
    while let Some(error) = current {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<Error>());
        if let Some(found) = inner.or_else(|| error.downcast_ref::<Error>()) {
            return Some(format!("TLS to the service failed: {found}{}", way_out(found)));
        }
        current = error.source();
    }
    None
}

fn way_out(error: &Error) -> &'static str {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateRequired, CertificateUnknown, UnknownCA,
    };
    use CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer};
    if matches!(error, Error::InvalidCertificate(UnknownIssuer | BadSignature)) {
        return " (drey.upstream.ca says which authority signs it)";
    }
    if matches!(error, Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) {
        return " (drey.upstream.server-name says which name it is for)";
    }
    let asks = |alert: &AlertDescription| {
        [AccessDenied, BadCertificate, CertificateRequired, CertificateUnknown, UnknownCA].contains(alert)
    };
    if matches!(error, Error::AlertReceived(alert) if asks(alert)) {
        return " (it wants a client certificate: drey.upstream.client-cert names the secret that holds one)";
    }
    ""
}
