//! The server side of TLS: which versions, which protocols, which certificates.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;

use super::acme::{Issuer, IssuerParts};
use super::challenges::{Challenges, PROTOCOL};
use super::handshake::Handshakes;
use super::local_ca::LocalCa;
use super::policy::{Policies, server_config};
use super::renewal::Renewal;
use super::settings::{ProxyError, ProxySettings, TlsSettings};
use crate::config::TlsVersion;
use crate::domain::time::Timestamp;

/// What the listeners need of TLS.
pub(super) struct Tls {
    pub(super) handshakes: Handshakes,
    pub(super) policies: Policies,
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
        let policies = Policies::new(provider, certificates)?;
        let authority = match &settings.tls {
            TlsSettings::Files(_) => None,
            TlsSettings::LocalCa { directory } | TlsSettings::Acme { directory, .. } => {
                Some(LocalCa::new(directory.clone()).authority())
            }
        };
        let acme = acme(settings, provider, &renewal)?;
        let validations = match &acme {
            Some(acme) => {
                let (challenges, any) = (acme.challenges.clone(), (TlsVersion::default(), None));
                Some(Arc::new(server_config(provider, challenges, any, &[PROTOCOL])?))
            }
            None => None,
        };
        Ok(Self { handshakes: Handshakes { validations }, policies, authority, renewal, acme })
    }
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
