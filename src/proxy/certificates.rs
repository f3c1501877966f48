//! Which certificate a client gets: by the name it asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::examine::Shown;

/// Whoever tries names makes no list without end.
const MOST_MISSED: usize = 64;

/// The certificates in use. Handshakes read them without a lock; they are replaced as a whole.
#[derive(Debug)]
pub(super) struct Certificates {
    /// Without a dot at its end, lower case.
    domain: String,
    names: ArcSwap<Names>,
    /// Hosts of the domain that were asked for and have no certificate of their own, each once.
    missed: Mutex<Vec<String>>,
    news: Notify,
}

/// Certificates by name, and the one for everything else.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// `qa.example` for `*.qa.example`.
    wildcards: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl Names {
    /// Only one certificate, whatever it says it is for.
    pub(super) fn only(default: Arc<CertifiedKey>) -> Self {
        Self { exact: HashMap::new(), wildcards: HashMap::new(), default }
    }

    /// Where two certificates are for one name, the first that was added is shown.
    pub(super) fn add(&mut self, shown: &Shown) {
        for name in &shown.facts.names {
            let (names, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcards, parent),
                None => (&mut self.exact, name.as_str()),
            };
            names.entry(name.to_owned()).or_insert_with(|| shown.key.clone());
        }
    }

    /// The exact name wins over the wildcard, which stands for exactly one label (RFC 9525, 6.3).
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let wildcard = || self.wildcards.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(wildcard)
    }
}

impl Certificates {
    pub(super) fn new(domain: &str, names: Names) -> Self {
        Self {
            domain: domain.to_owned(),
            names: ArcSwap::from_pointee(names),
            missed: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Handshakes from now on get these.
    pub(super) fn replace(&self, names: Names) {
        self.names.store(Arc::new(names));
    }

    /// What a client gets that asks for this name; none without one of the domain, or of a certificate.
    fn of(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let names = self.names.load();
        // Without a name there is nothing to choose by: health checks and old clients.
        let Some(name) = name else { return Some(names.default.clone()) };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(found) = names.find(&name) {
            return Some(found.clone());
        }
        if !self.covers(&name) {
            return None;
        }
        self.miss(name);
        Some(names.default.clone())
    }

    fn miss(&self, name: String) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if missed.len() < MOST_MISSED && !missed.contains(&name) {
            missed.push(name);
            self.news.notify_one();
        }
    }

    /// Waits until a host was asked for that has no certificate.
    pub(super) async fn missed(&self) {
        self.news.notified().await;
    }

    /// The hosts that were asked for since this was last asked, the first one first.
    pub(super) fn take_missed(&self) -> Vec<String> {
        std::mem::take(&mut *self.missed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The domain itself, or exactly one label below it: every host that a branch can have.
    fn covers(&self, name: &str) -> bool {
        if name == self.domain {
            return true;
        }
        let label = name.strip_suffix(&self.domain).and_then(|rest| rest.strip_suffix('.'));
        label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.of(hello.server_name())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tokio_rustls::rustls::crypto::ring;

    use super::*;

    fn shown(names: &[&str]) -> Shown {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let pair = KeyPair::generate().unwrap();
        let pem = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap().pem();
        let path = std::path::Path::new("c.pem");
        let parts = (pem.as_bytes(), pair.serialize_pem());
        Shown::parse((parts.0, parts.1.as_bytes()), (path, path), &ring::default_provider()).unwrap()
    }

    #[test]
    fn the_exact_name_wins_and_a_wildcard_stands_for_one_label() {
        let given = [
            shown(&["old.example"]),
            shown(&["*.qa.example", "qa.example"]),
            shown(&["vip.qa.example", "*.vip.qa.example"]),
            shown(&["*.qa.example"]),
        ];
        let mut names = Names::only(given[0].key.clone());
        given.iter().for_each(|shown| names.add(shown));
        let certificates = Certificates::new("qa.example", names);
        let which = |name: Option<&str>| {
            let found = certificates.of(name)?;
            given.iter().position(|shown| Arc::ptr_eq(&shown.key, &found))
        };
        assert_eq!(which(Some("a.qa.example")), Some(1));
        assert_eq!(which(Some("QA.example.")), Some(1));
        assert_eq!(which(Some("vip.qa.example")), Some(2));
        assert_eq!(which(Some("x.vip.qa.example")), Some(2));
        assert_eq!(which(Some("old.example")), Some(0));
        assert_eq!(which(None), Some(0));
        for none in ["x.a.qa.example", "qa.example.evil", "evil-qa.example", "example", ""] {
            assert_eq!(which(Some(none)), None, "{none}");
        }
    }

    #[test]
    fn a_host_of_the_domain_without_a_certificate_gets_the_default() {
        let default = shown(&["other.example"]);
        let certificates = Certificates::new("qa.example", Names::only(default.key.clone()));
        assert!(Arc::ptr_eq(&certificates.of(Some("x.qa.example")).unwrap(), &default.key));
        assert!(certificates.of(Some("other.example")).is_none());
        let mut names = Names::only(default.key.clone());
        names.add(&default);
        certificates.replace(names);
        assert!(certificates.of(Some("other.example")).is_some());
    }
}
