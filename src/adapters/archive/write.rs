//! Writes an archive: temporary name, fsync, read back, rename, fsync of the folder.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tar::{Builder, Header};

use super::index::{Hashing, Index, is_safe};
use super::{INDEX, MANIFEST, UNFINISHED, failed, read};
use crate::ports::{ArchiveParts, PortError, PortResult};

/// zstd's own default: near the disk's speed.
const LEVEL: i32 = 3;

/// Returns the size of the finished archive. Nothing but a whole and verified file ever has the name `path`.
pub(super) fn write(path: &Path, parts: &ArchiveParts) -> PortResult<u64> {
    check_paths(parts)?;
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = Unfinished(unfinished.into());
    let size = fill(&unfinished.0, parts)?;
    read::verify(&unfinished.0)?;
    fs::rename(&unfinished.0, path)
        .and_then(|()| File::open(path.parent().unwrap_or(path))?.sync_all())
        .map_err(|error| failed("cannot finish", path, &error))?;
    Ok(size)
}

/// Removed when it is not renamed before.
struct Unfinished(PathBuf);

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
        if !is_safe(path) || !seen.insert(path) {
            return Err(PortError::Permanent(format!(
                "archive {}: entry {path:?} is there twice or leads outside",
                parts.record.id
            )));
        }
    }
    Ok(())
}

fn fill(unfinished: &Path, parts: &ArchiveParts) -> PortResult<u64> {
    let told = |error: &io::Error| failed("cannot write", unfinished, error);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(unfinished);
    let encoder = file.and_then(|file| zstd::Encoder::new(file, LEVEL)).map_err(|error| told(&error))?;
    let mut contents = Contents {
        tar: Builder::new(encoder),
        index: Index::default(),
        seconds: u64::try_from(parts.record.created_at.as_millis() / 1000).unwrap_or(0),
    };
    let manifest = serde_json::to_vec_pretty(&parts.manifest).map_err(|error| told(&error.into()))?;
    contents.document(MANIFEST, &manifest).map_err(|error| told(&error))?;
    for (path, bytes) in &parts.documents {
        contents.document(path, bytes).map_err(|error| told(&error))?;
    }
    for (path, source) in &parts.files {
        contents.file(path, source).map_err(|error| failed("cannot take in", source, &error))?;
    }
    contents.finish().map_err(|error| told(&error))
}

struct Contents {
    tar: Builder<zstd::Encoder<'static, File>>,
    index: Index,
    /// Time of all entries: the archive's own.
    seconds: u64,
}

impl Contents {
    fn document(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(path, bytes.len() as u64, bytes)
    }

    /// A log may still grow: what it had when it was opened is taken. Links are not followed.
    fn file(&mut self, path: &str, source: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(source, flags, Mode::empty())?);
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "is no plain file"));
        }
        self.entry(path, facts.len(), BufReader::new(file.take(facts.len())))
    }

    fn entry(&mut self, path: &str, size: u64, content: impl Read) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(self.seconds);
        let mut hashing = Hashing::new(content);
        self.tar.append_data(&mut header, path, &mut hashing)?;
        let entry = hashing.entry(path.to_owned());
        if entry.size != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "became shorter while it was read"));
        }
        self.index.entries.push(entry);
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        let index = serde_json::to_vec_pretty(&self.index)?;
        self.document(INDEX, &index)?;
        let mut file = self.tar.into_inner()?.finish()?;
        file.flush()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}
