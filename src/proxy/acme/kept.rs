//! The account, the certificates and what was tried, as files: they survive a restart, and no order is made twice.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

use crate::domain::issuance::{Life, Tries};
use crate::domain::time::Timestamp;
use crate::proxy::examine::{CertificateFacts, Shown};
use crate::proxy::private_file;
use crate::proxy::settings::ProxyError;

/// File of the one certificate for the domain and its wildcard.
pub(super) const WILDCARD: &str = "wildcard";

/// The folder of one authority: another one starts with nothing.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Kept {
    folder: PathBuf,
}

/// How things stand with an authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeState {
    /// Each certificate that is kept, by its file.
    pub certificates: Vec<(PathBuf, CertificateFacts)>,
    /// What was ordered last and failed, when it is tried again, and why it failed. The reason is untrusted text.
    pub failures: Vec<(String, Timestamp, String)>,
}

/// How things stand with the authority of this directory, as its files tell. `tls` is the folder of all certificates.
pub fn state(tls: &Path, directory: &str) -> AcmeState {
    let kept = Kept::new(tls, directory);
    let certificates = kept.certificates(&ring::default_provider()).into_iter();
    let failures = kept.tries().failures.into_iter();
    AcmeState {
        certificates: certificates.map(|(key, shown)| (kept.file(&key), shown.facts)).collect(),
        failures: failures.map(|(key, failure)| (key, failure.again_at(), failure.reason)).collect(),
    }
}

impl Kept {
    pub(in crate::proxy) fn new(tls: &Path, directory: &str) -> Self {
        let host = directory.strip_prefix("https://").unwrap_or(directory);
        let host: String =
            host.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
        let digest = hex::encode(Sha256::digest(directory.as_bytes()));
        Self { folder: tls.join("acme").join(format!("{host}-{}", digest.get(..8).unwrap_or_default())) }
    }

    /// Certificates by their key, those whose life is over too. One that cannot be read is told and left out: it is
    /// ordered anew.
    pub(in crate::proxy) fn certificates(&self, provider: &CryptoProvider) -> Vec<(String, Shown)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.folder.join("certificates")).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some(key) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".pem")) else {
                continue;
            };
            let read = std::fs::read(&path).map_err(|error| ProxyError::certificate(&path, error));
            let shown = read.and_then(|text| Shown::parse((&text, &text), (&path, &path), provider));
            match shown {
                Ok(shown) => found.push((key.to_owned(), shown)),
                Err(error) => tracing::warn!(%error, "a certificate that was kept is left out"),
            }
        }
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        found
    }

    /// Keeps the key and its chain in one file, so that no crash leaves one without the other.
    pub(super) fn put(&self, key: &str, pem: &str) -> Result<(), ProxyError> {
        private_file::write(&self.file(key), pem)
    }

    pub(super) fn remove(&self, key: &str) {
        std::fs::remove_file(self.file(key)).ok();
    }

    /// The account's key and address at the authority; none before the first order.
    pub(super) fn account(&self) -> Result<Option<String>, ProxyError> {
        let path = self.folder.join("account.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ProxyError::certificate(path, error)),
        }
    }

    pub(super) fn put_account(&self, text: &str) -> Result<(), ProxyError> {
        private_file::write(&self.folder.join("account.json"), text)
    }

    /// The authority does not know it any more.
    pub(super) fn forget_account(&self) {
        std::fs::remove_file(self.folder.join("account.json")).ok();
    }

    pub(super) fn tries(&self) -> Tries {
        let text = std::fs::read_to_string(self.folder.join("tries.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) fn put_tries(&self, tries: &Tries) -> Result<(), ProxyError> {
        let path = self.folder.join("tries.json");
        let text = serde_json::to_string(tries).map_err(|error| ProxyError::certificate(&path, error))?;
        private_file::write(&path, &text)
    }

    fn file(&self, key: &str) -> PathBuf {
        self.folder.join("certificates").join(format!("{key}.pem"))
    }
}

/// The lives of certificates by their key. The wildcard's counts only if it is for this domain: others go by their host.
pub(super) fn lives(certificates: &[(String, Shown)], domain: &str) -> BTreeMap<String, Life> {
    let wildcard = format!("*.{domain}");
    let counts = |key: &str, shown: &Shown| key != WILDCARD || shown.facts.names.contains(&wildcard);
    let life = |shown: &Shown| Life { from: shown.facts.valid_from, until: shown.facts.valid_until };
    let counted = certificates.iter().filter(|(key, shown)| counts(key, shown));
    counted.map(|(key, shown)| (key.clone(), life(shown))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::CertificateFiles;

    #[test]
    fn what_is_kept_is_found_again_and_each_authority_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path(), "https://ca.example/dir");
        assert_eq!((kept.account().unwrap(), kept.tries()), (None, Tries::default()));
        let files =
            CertificateFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        let now = Timestamp::from_millis(1_780_000_000_000);
        let until = now.plus(Duration::from_secs(90 * 86_400));
        crate::proxy::write_certificate(&files, &["*.qa.example", "qa.example"], (now, until));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        kept.put(WILDCARD, &format!("{}{}", read(&files.key), read(&files.certificate))).unwrap();
        kept.put("broken.qa.example", "nothing").unwrap();
        let mut tries = Tries::default();
        tries.failed("x.qa.example", "no".into(), now);
        kept.put_tries(&tries).unwrap();

        let certificates = kept.certificates(&ring::default_provider());
        let held = lives(&certificates, "qa.example");
        assert_eq!(held.into_iter().collect::<Vec<_>>(), [(WILDCARD.to_owned(), Life { from: now, until })]);
        assert!(lives(&certificates, "other.example").is_empty());
        let state = |directory: &str| state(folder.path(), directory);
        assert_eq!(state("https://ca.example/dir").failures[0].0, "x.qa.example");
        assert_eq!(state("https://ca.example/dir2"), AcmeState::default());
        kept.remove(WILDCARD);
        assert!(kept.certificates(&ring::default_provider()).is_empty());
    }
}
