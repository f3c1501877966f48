//! What an archive says of its own entries.

use std::io::{self, Read};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// `index.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) entries: Vec<IndexEntry>,
}

/// One entry; `sha256` in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexEntry {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// Passes bytes on and remembers their digest and number.
pub(super) struct Hashing<R> {
    inner: R,
    digest: Sha256,
    size: u64,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, digest: Sha256::new(), size: 0 }
    }

    pub(super) fn entry(self, path: String) -> IndexEntry {
        IndexEntry { path, size: self.size, sha256: hex::encode(self.digest.finalize()) }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.digest.update(buffer.get(..length).unwrap_or_default());
        self.size += length as u64;
        Ok(length)
    }
}

/// Relative, and nothing in it leads up or elsewhere.
pub(super) fn is_safe(path: &str) -> bool {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !path.is_empty() && !path.contains('\0') && Path::new(path).components().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_away_are_not_safe() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "./x", "a\0"] {
            assert!(!is_safe(bad), "{bad:?}");
        }
        assert!(is_safe("logs/web.log") && is_safe("..."));
    }
}
