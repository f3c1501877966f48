//! Secrets at rest and where containers see them; and what is kept out of every text.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::PortResult;
use crate::domain::names::EnvironmentId;
use crate::domain::redaction::Patterns;
use crate::domain::secrets::SecretName;

/// Service → name → value.
pub type SecretFiles = BTreeMap<String, BTreeMap<SecretName, Vec<u8>>>;

/// Encrypts secrets, and puts them where containers see them.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Encrypts with the key of this data directory, which is made when there is none.
    fn seal(&self, value: &[u8]) -> PortResult<Vec<u8>>;
    /// Decrypts what [`Self::seal`] gave. Permanent: it is of another key, or damaged.
    fn open(&self, sealed: &[u8]) -> PortResult<Vec<u8>>;
    /// The folder of an environment; the file of a service's secret is `<service folder>/<name>` below it.
    fn folder(&self, environment: EnvironmentId) -> PathBuf;
    /// Writes these files and removes all others. A file that containers have open or bound stays the same file.
    async fn place(&self, environment: EnvironmentId, files: SecretFiles) -> PortResult<()>;
    /// Removes the folder; gone already is success.
    async fn clear(&self, environment: EnvironmentId) -> PortResult<()>;
}

/// Keeps secrets out of text. What it has learned it knows until the daemon ends, unless it is told to forget it: a value
/// that was replaced may still be in a container.
pub struct Redactor {
    values: Mutex<BTreeSet<Vec<u8>>>,
    patterns: ArcSwap<Patterns>,
}

impl Default for Redactor {
    fn default() -> Self {
        Self { values: Mutex::default(), patterns: ArcSwap::from_pointee(Patterns::of([])) }
    }
}

impl Redactor {
    /// From now on none of these is told.
    pub fn learn<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) {
        let mut known = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        known.extend(values.into_iter().map(<[u8]>::to_vec));
        if known.len() > before {
            self.patterns.store(Arc::new(Patterns::of(known.iter().map(Vec::as_slice))));
        }
    }

    /// These are worth nothing any more. For what is given anew each hour, so that what is looked for does not grow for ever.
    pub fn forget<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) {
        let mut known = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        for value in values {
            known.remove(value);
        }
        if known.len() < before {
            self.patterns.store(Arc::new(Patterns::of(known.iter().map(Vec::as_slice))));
        }
    }

    /// The text without secrets.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.patterns.load().redact(text)
    }

    /// For a stream that begins now.
    pub fn patterns(&self) -> Arc<Patterns> {
        self.patterns.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_not_told_any_more() {
        let redactor = Redactor::default();
        assert_eq!(redactor.text("first-value"), "first-value");
        redactor.learn([&b"first-value"[..]]);
        redactor.learn([&b"other-value"[..]]);
        assert_eq!(redactor.text("a first-value, an other-value"), "a ***, an ***");
        redactor.forget([&b"first-value"[..]]);
        assert_eq!(redactor.text("a first-value, an other-value"), "a first-value, an ***");
    }
}
