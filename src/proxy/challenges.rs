//! What proves to an authority that a host is ours, while an order waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The protocol of a validation over TLS (RFC 8737, 6.2).
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";
/// Where a validation over HTTP asks (RFC 8555, 8.3); the token follows.
const PATH: &str = "/.well-known/acme-challenge/";

/// Answers to validations. Empty but for the moments in which an order runs.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    tokens: Mutex<HashMap<String, String>>,
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// Whether the path is one of a validation; and the answer, where an order waits for it.
    pub(super) fn answer(&self, path: &str) -> Option<Option<String>> {
        let token = path.strip_prefix(PATH)?;
        Some(lock(&self.tokens).get(token).cloned())
    }

    pub(super) fn put_token(&self, token: &str, answer: &str) {
        lock(&self.tokens).insert(token.to_owned(), answer.to_owned());
    }

    pub(super) fn remove_token(&self, token: &str) {
        lock(&self.tokens).remove(token);
    }

    pub(super) fn put_certificate(&self, host: &str, certificate: CertifiedKey) {
        lock(&self.certificates).insert(host.to_owned(), Arc::new(certificate));
    }

    pub(super) fn remove_certificate(&self, host: &str) {
        lock(&self.certificates).remove(host);
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        lock(&self.certificates).get(hello.server_name()?).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
