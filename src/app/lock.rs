//! One daemon per data directory.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

/// Held while the daemon lives; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DataDirLock(#[expect(dead_code, reason = "the lock is in the open file")] File);

impl DataDirLock {
    /// # Errors
    /// When another daemon has the directory, or it cannot be written.
    pub(super) fn take(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("drey.lock");
        let file = File::create(&path).with_context(|| format!("{}: cannot be written", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another drey serves from {}: end that one, or give this one a data_dir of its own",
                data_dir.display()
            );
        }
        Ok(Self(file))
    }
}
