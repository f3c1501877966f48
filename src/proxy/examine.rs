//! A look at certificate files before anybody is served with them.

use std::path::Path;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::certificates::Certificates;
use super::settings::ProxyError;
use crate::domain::time::Timestamp;

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    pub valid_from: Timestamp,
    pub valid_until: Timestamp,
    /// Names that it is for; the first part may be `*`.
    pub names: Vec<String>,
}

impl CertificateFacts {
    /// Reads a chain and its key as the proxy would.
    ///
    /// # Errors
    /// When one of them is not there, is no PEM, or does not go with the other.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, ProxyError> {
        let certified: CertifiedKey = Certificates::read_key((certificate, key), &ring::default_provider())?;
        let unreadable = || ProxyError::certificate(certificate, "its first certificate cannot be read");
        let leaf = certified.cert.first().ok_or_else(unreadable)?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_bad| unreadable())?;
        let moment = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.into_iter().flat_map(|extension| &extension.value.general_names);
        let dns = |name: &GeneralName<'_>| {
            if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None }
        };
        let names = names.filter_map(dns);
        Ok(Self {
            valid_from: moment(leaf.validity().not_before.timestamp()),
            valid_until: moment(leaf.validity().not_after.timestamp()),
            names: names.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_says_until_when_and_for_what() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let mut params = CertificateParams::new(vec!["*.qa.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 2, 1);
        let pair = KeyPair::generate().unwrap();
        std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let facts = CertificateFacts::read(&certificate, &key).unwrap();
        assert_eq!(facts.valid_until, Timestamp::parse("2026-02-01T00:00:00Z").unwrap());
        assert_eq!(facts.names, ["*.qa.example"]);
        std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let error = CertificateFacts::read(&certificate, &key).unwrap_err();
        assert!(error.to_string().contains("does not go with its key"), "{error}");
    }
}
