//! Writes an archive: temporary name, fsync, read back, rename, fsync of the folder.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::contents::{Contents, Finished};
use super::entry::is_safe;
use super::index::Spool;
use super::volume::{self, Incoming};
use super::{INDEX, MANIFEST, UNFINISHED, failed, read};
use crate::ports::{ArchiveParts, PortError, PortResult, failpoint};

/// Nothing but a whole and verified file ever has the name `path`.
pub(super) fn write(
    path: &Path,
    parts: &ArchiveParts,
    volumes: mpsc::Receiver<Incoming>,
) -> PortResult<Finished> {
    check_paths(parts)?;
    let unfinished = Unfinished::beside(path, "");
    let spool =
        Spool::create(Unfinished::name(path, ".index")).map_err(|error| cannot_write(path, &error))?;
    let finished = fill(&unfinished.0, spool, parts, volumes)?;
    read::verify(&unfinished.0, u64::MAX)?;
    failpoint("archive.verified");
    fs::rename(&unfinished.0, path)
        .and_then(|()| File::open(path.parent().unwrap_or(path))?.sync_all())
        .map_err(|error| failed("cannot finish", path, &error))?;
    Ok(finished)
}

/// A file beside an archive, removed when it is not renamed before.
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    /// Nothing is made yet.
    pub(super) fn beside(archive: &Path, kind: &str) -> Self {
        Self(Self::name(archive, kind))
    }

    fn name(archive: &Path, kind: &str) -> PathBuf {
        let mut name = archive.as_os_str().to_owned();
        name.push(kind);
        name.push(UNFINISHED);
        name.into()
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the rename there is nothing of that name.
        fs::remove_file(&self.0).unwrap_or_default();
    }
}

fn check_paths(parts: &ArchiveParts) -> PortResult<()> {
    let mut seen = BTreeSet::from([MANIFEST, INDEX]);
    let documents = parts.documents.iter().map(|(path, _)| path.as_str());
    for path in documents.chain(parts.files.iter().map(|(path, _)| path.as_str())) {
        if !is_safe(path.as_bytes()) || path.starts_with(super::VOLUMES) || !seen.insert(path) {
            return Err(PortError::Permanent(format!(
                "archive {}: entry {path:?} is there twice or leads outside",
                parts.record.id
            )));
        }
    }
    Ok(())
}

/// A full disk is not full for seconds only: it is told at once, and the end as a whole is tried again.
fn cannot_write(path: &Path, error: &io::Error) -> PortError {
    if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return failed("cannot write", path, error);
    }
    PortError::Permanent(format!(
        "archive: the disk is full, {} cannot be written: {error}; make room there (`drey archive remove`)",
        path.display()
    ))
}

fn fill(
    unfinished: &Path,
    spool: Spool,
    parts: &ArchiveParts,
    mut volumes: mpsc::Receiver<Incoming>,
) -> PortResult<Finished> {
    let told = |error: &io::Error| cannot_write(unfinished, error);
    let seconds = u64::try_from(parts.record.created_at.as_millis() / 1000).unwrap_or(0);
    let mut contents = Contents::begin(unfinished, spool, seconds).map_err(|error| told(&error))?;
    let manifest = serde_json::to_vec_pretty(&parts.manifest).map_err(|error| told(&error.into()))?;
    contents.document(MANIFEST, &manifest).map_err(|error| told(&error))?;
    for (path, bytes) in &parts.documents {
        contents.document(path, bytes).map_err(|error| told(&error))?;
    }
    for (path, source) in &parts.files {
        contents.file(path, source).map_err(|error| failed("cannot take in", source, &error))?;
    }
    while let Some(incoming) = volumes.blocking_recv() {
        volume::take_in(&mut contents, incoming).map_err(|error| told(&error))?;
    }
    contents.finish().map_err(|error| told(&error))
}
