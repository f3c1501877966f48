//! What rendering depends on: every file that Compose will read, known to its last byte before it is read.

use std::fs;

use sha2::{Digest, Sha256};

use super::FILE_LIMIT;
use crate::adapters::compose::facts::Resolved;
use crate::domain::policy::PathFact;

/// The one variable that changes with each push.
const COMMIT_VARIABLE: &[u8] = b"DREY_COMMIT";

/// Grows while the scan goes on.
#[derive(Default)]
pub(super) struct Inputs {
    digest: Sha256,
    names_commit: bool,
}

impl Inputs {
    /// A path that Compose may look at, by the name it has in the files, and what is there.
    pub(super) fn add(&mut self, name: &str, resolved: &Resolved) {
        self.part(name.as_bytes());
        self.part(format!("{:?}", resolved.fact).as_bytes());
        self.part(resolved.path.as_os_str().as_encoded_bytes());
        if resolved.fact == PathFact::File && resolved.size <= FILE_LIMIT {
            // What cannot be read now cannot be rendered either: the error comes from there.
            let content = fs::read(&resolved.path).unwrap_or_default();
            self.names_commit |= content.windows(COMMIT_VARIABLE.len()).any(|part| part == COMMIT_VARIABLE);
            self.part(&content);
        }
    }

    fn part(&mut self, bytes: &[u8]) {
        self.digest.update(bytes.len().to_le_bytes());
        self.digest.update(bytes);
    }

    /// SHA-256 of all of it, and whether any file names `DREY_COMMIT`.
    pub(super) fn finish(self) -> ([u8; 32], bool) {
        (self.digest.finalize().into(), self.names_commit)
    }
}
