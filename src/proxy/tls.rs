//! The server side of TLS: which versions, which protocols, which certificates.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::server::ResolvesServerCert;
use tokio_rustls::rustls::{Error, ServerConfig};

use super::acme::{Issuer, IssuerParts};
use super::challenges::{Challenges, PROTOCOL};
use super::handshake::Handshakes;
use super::local_ca::LocalCa;
use super::renewal::Renewal;
use super::settings::{ProxyError, ProxySettings, TlsSettings};
use crate::domain::time::Timestamp;

/// What the listeners need of TLS.
pub(super) struct Tls {
    pub(super) handshakes: Handshakes,
    /// The local authority's certificate, for whoever wants to trust it.
    pub(super) authority: Option<PathBuf>,
    pub(super) renewal: Arc<Renewal>,
    pub(super) acme: Option<Acme>,
}

/// What is needed where an authority is asked for certificates.
pub(super) struct Acme {
    pub(super) challenges: Arc<Challenges>,
    pub(super) issuer: Issuer,
}

impl Tls {
    pub(super) fn new(
        settings: &ProxySettings,
        provider: &Arc<CryptoProvider>,
        now: Timestamp,
    ) -> Result<Self, ProxyError> {
        let renewal = Arc::new(Renewal::begin(settings, provider, now)?);
        let certificates = renewal.certificates.clone();
        let visitors = config(provider, certificates, &[b"h2", b"http/1.1"])?;
        let authority = match &settings.tls {
            TlsSettings::Files(_) => None,
            TlsSettings::LocalCa { directory } | TlsSettings::Acme { directory, .. } => {
                Some(LocalCa::new(directory.clone()).authority())
            }
        };
        let acme = acme(settings, provider, &renewal)?;
        let validations = match &acme {
            Some(acme) => Some(Arc::new(config(provider, acme.challenges.clone(), &[PROTOCOL])?)),
            None => None,
        };
        let handshakes = Handshakes { visitors: Arc::new(visitors), validations };
        Ok(Self { handshakes, authority, renewal, acme })
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    certificates: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, ProxyError> {
    let wrong = |error: Error| ProxyError::Tls(error.to_string());
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // Its keys are in memory alone and change by themselves: nothing is kept for each client.
    config.ticketer = Ticketer::new().map_err(wrong)?;
    Ok(config)
}

fn acme(
    settings: &ProxySettings,
    provider: &Arc<CryptoProvider>,
    renewal: &Arc<Renewal>,
) -> Result<Option<Acme>, ProxyError> {
    let TlsSettings::Acme { directory, acme, records } = &settings.tls else { return Ok(None) };
    let challenges = Arc::new(Challenges::default());
    let parts = IssuerParts {
        acme: acme.clone(),
        domain: settings.domain.clone(),
        records: records.clone(),
        challenges: challenges.clone(),
        provider: provider.clone(),
        renewal: renewal.clone(),
    };
    Ok(Some(Acme { challenges, issuer: Issuer::new(directory, parts)? }))
}
