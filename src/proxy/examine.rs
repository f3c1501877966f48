//! Reads certificates from PEM, with what they say of themselves.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::settings::ProxyError;
use crate::config::CertificateFiles;
use crate::domain::time::Timestamp;

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    pub valid_from: Timestamp,
    pub valid_until: Timestamp,
    /// Names that it is for, lower case; the first part may be `*`.
    pub names: Vec<String>,
}

/// A certificate that can be shown to visitors.
pub(super) struct Shown {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: CertificateFacts,
}

impl CertificateFacts {
    /// Reads a chain and its key as the proxy would.
    ///
    /// # Errors
    /// When one of them is not there, is no PEM, or does not go with the other.
    pub fn read(files: &CertificateFiles) -> Result<Self, ProxyError> {
        Shown::read(files, &ring::default_provider()).map(|shown| shown.facts)
    }
}

impl Shown {
    /// Reads the chain and its key.
    pub(super) fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, ProxyError> {
        let text = |path: &Path| std::fs::read(path).map_err(|error| ProxyError::certificate(path, error));
        let (chain, key) = (text(&files.certificate)?, text(&files.key)?);
        Self::parse((&chain, &key), (&files.certificate, &files.key), provider)
    }

    /// From the bytes of the two; the paths are for what is said of faults.
    pub(super) fn parse(
        (chain, key): (&[u8], &[u8]),
        (certificate, key_file): (&Path, &Path),
        provider: &CryptoProvider,
    ) -> Result<Self, ProxyError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| {
            ProxyError::certificate(certificate, format!("no certificates in PEM: {error}"))
        })?;
        let private = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| ProxyError::certificate(key_file, format!("no private key in PEM: {error}")))?;
        let unreadable = || ProxyError::certificate(certificate, "its first certificate cannot be read");
        let facts = chain.first().and_then(facts).ok_or_else(unreadable)?;
        let key = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
            ProxyError::certificate(certificate, format!("does not go with its key: {error}"))
        })?;
        Ok(Self { key: Arc::new(key), facts })
    }
}

fn facts(leaf: &CertificateDer<'_>) -> Option<CertificateFacts> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let moment = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|extension| &extension.value.general_names);
    let dns = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None }
    };
    Some(CertificateFacts {
        valid_from: moment(leaf.validity().not_before.timestamp()),
        valid_until: moment(leaf.validity().not_after.timestamp()),
        names: names.filter_map(dns).collect(),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_says_until_when_and_for_what() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            CertificateFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        let mut params = CertificateParams::new(vec!["*.qa.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 2, 1);
        let pair = KeyPair::generate().unwrap();
        std::fs::write(&files.certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&files.key, pair.serialize_pem()).unwrap();
        let facts = CertificateFacts::read(&files).unwrap();
        assert_eq!(facts.valid_until, Timestamp::parse("2026-02-01T00:00:00Z").unwrap());
        assert_eq!(facts.names, ["*.qa.example"]);
        std::fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let error = CertificateFacts::read(&files).unwrap_err();
        assert!(error.to_string().contains("does not go with its key"), "{error}");
        std::fs::write(&files.certificate, "").unwrap();
        let error = CertificateFacts::read(&files).unwrap_err();
        assert!(error.to_string().contains("c.pem: its first certificate"), "{error}");
    }
}
