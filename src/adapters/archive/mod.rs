//! Archives: tar in zstd, written whole or not at all.
//!
//! `<id>.tar.zst`: `manifest.json` first, then documents and files, `index.json` last with the path, size and
//! SHA-256 of each entry before it. The name exists only once everything was read back and found equal.

mod files;
mod index;
mod read;
mod write;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::environment::ArchiveRecord;
use crate::ports::{ArchiveParts, Archives, Clock, PortError, PortResult};

/// First entry of every archive.
const MANIFEST: &str = "manifest.json";

/// Last entry of every archive.
const INDEX: &str = "index.json";

/// Ending of an archive's name.
const ENDING: &str = ".tar.zst";

/// Ending while it is being written; what is found with it was left by a crash.
const UNFINISHED: &str = ".unfinished";

/// [`Archives`] in one folder.
#[derive(Clone)]
pub struct ArchiveAdapter {
    directory: PathBuf,
    clock: Arc<dyn Clock>,
}

impl ArchiveAdapter {
    /// Makes the folder (for the daemon's user only) and removes what a crash left unfinished in it.
    pub fn open(directory: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> PortResult<Self> {
        let directory = directory.into();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .and_then(|()| remove_unfinished(&directory))
            .map_err(|error| failed("cannot use", &directory, &error))?;
        Ok(Self { directory, clock })
    }

    /// Where an archive lies; refuses what is no archive id.
    pub fn path(&self, id: &str) -> PortResult<PathBuf> {
        let is_legal =
            id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_legal || id.is_empty() || id.len() > 200 || id.starts_with(['.', '-']) {
            return Err(PortError::Permanent(format!("{id:?} is not the id of an archive")));
        }
        Ok(self.directory.join(format!("{id}{ENDING}")))
    }
}

#[async_trait]
impl Archives for ArchiveAdapter {
    async fn write(&self, parts: ArchiveParts) -> PortResult<ArchiveRecord> {
        let path = self.path(&parts.record.id)?;
        let (size_bytes, record) = blocking(move || {
            let size = write::write(&path, &parts)?;
            Ok((size, parts.record))
        })
        .await?;
        Ok(ArchiveRecord { size_bytes, verified_at: Some(self.clock.now()), ..record })
    }

    async fn manifest(&self, id: &str) -> PortResult<serde_json::Value> {
        let path = self.path(id)?;
        blocking(move || read::manifest(&path)).await
    }

    async fn verify(&self, id: &str) -> PortResult<()> {
        let path = self.path(id)?;
        blocking(move || read::verify(&path)).await
    }

    async fn remove(&self, id: &str) -> PortResult<()> {
        let path = self.path(id)?;
        blocking(move || files::remove(&path)).await
    }

    async fn ids(&self) -> PortResult<Vec<String>> {
        let directory = self.directory.clone();
        blocking(move || files::ids(&directory)).await
    }
}

fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(UNFINISHED) {
            tracing::warn!(archive.path = %path.display(), "removing an archive that was not finished");
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Disks fill and are emptied again: worth another try.
fn failed(what: &str, path: &Path, error: &io::Error) -> PortError {
    let text = format!("archive: {what} {}: {error}", path.display());
    if error.kind() == io::ErrorKind::NotFound {
        return PortError::NotFound(text);
    }
    // What the decoder complains of has no number of the operating system.
    let is_decoders = error.kind() == io::ErrorKind::Other && error.raw_os_error().is_none();
    let is_broken =
        is_decoders || matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
    if is_broken { PortError::Permanent(text) } else { PortError::Transient(text) }
}

async fn blocking<T, F>(work: F) -> PortResult<T>
where
    T: Send + 'static,
    F: FnOnce() -> PortResult<T> + Send + 'static,
{
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| PortError::Transient(format!("archive: the work broke off: {error}")))?
}

#[cfg(test)]
mod tests;
