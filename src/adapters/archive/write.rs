//! Writes an archive: temporary name, fsync, read back, rename, fsync of the folder.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use tar::Builder;
use tokio::sync::mpsc;

use super::entry::{Kind, Meta, is_safe};
use super::index::{Hashing, IndexEntry, LeftOut, Spool};
use super::volume::{self, Incoming};
use super::{INDEX, MANIFEST, UNFINISHED, failed, read};
use crate::ports::{ArchiveParts, PortError, PortResult};

/// Near the disk's speed.
const LEVEL: i32 = 1;
/// Threads that compress beside the one that packs.
const WORKERS: u32 = 2;
/// Written to the disk at once.
const BLOCK: usize = 1 << 20;

/// A finished archive.
pub(super) struct Finished {
    /// Of the file, in bytes.
    pub(super) size: u64,
    /// Of the file, in lower-case hexadecimal digits.
    pub(super) sha256: String,
}

/// Nothing but a whole and verified file ever has the name `path`.
pub(super) fn write(
    path: &Path,
    parts: &ArchiveParts,
    volumes: mpsc::Receiver<Incoming>,
) -> PortResult<Finished> {
    check_paths(parts)?;
    let named = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        name.push(UNFINISHED);
        PathBuf::from(name)
    };
    let unfinished = Unfinished(named(""));
    let spool = Spool::create(named(".index")).map_err(|error| failed("cannot write", path, &error))?;
    let finished = fill(&unfinished.0, spool, parts, volumes)?;
    read::verify(&unfinished.0)?;
    fs::rename(&unfinished.0, path)
        .and_then(|()| File::open(path.parent().unwrap_or(path))?.sync_all())
        .map_err(|error| failed("cannot finish", path, &error))?;
    Ok(finished)
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
        if !is_safe(path.as_bytes()) || path.starts_with(super::VOLUMES) || !seen.insert(path) {
            return Err(PortError::Permanent(format!(
                "archive {}: entry {path:?} is there twice or leads outside",
                parts.record.id
            )));
        }
    }
    Ok(())
}

fn fill(
    unfinished: &Path,
    spool: Spool,
    parts: &ArchiveParts,
    mut volumes: mpsc::Receiver<Incoming>,
) -> PortResult<Finished> {
    let told = |error: &io::Error| failed("cannot write", unfinished, error);
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

/// An archive that is being written.
pub(super) struct Contents {
    tar: Builder<zstd::Encoder<'static, Digesting>>,
    spool: Spool,
    left_out: Vec<LeftOut>,
    /// Time of drey's own entries: the archive's.
    seconds: u64,
}

impl Contents {
    fn begin(unfinished: &Path, spool: Spool, seconds: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(unfinished)?;
        let file = Digesting { file: BufWriter::with_capacity(BLOCK, file), digest: Sha256::new(), size: 0 };
        let mut encoder = zstd::Encoder::new(file, LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.multithread(WORKERS)?;
        Ok(Self { tar: Builder::new(encoder), spool, left_out: Vec::new(), seconds })
    }

    fn document(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(&Meta::document(path, bytes.len() as u64, self.seconds), bytes)
    }

    /// A log may still grow: what it had when it was opened is taken. Links are not followed.
    fn file(&mut self, path: &str, source: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(source, flags, Mode::empty())?);
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "is no plain file"));
        }
        let content = BufReader::new(file.take(facts.len()));
        self.entry(&Meta::document(path, facts.len(), self.seconds), content)
    }

    pub(super) fn entry(&mut self, meta: &Meta, content: impl Read) -> io::Result<()> {
        let mut hashing = Hashing::new(content);
        meta.append(&mut self.tar, &mut hashing)?;
        if meta.kind == Kind::File && hashing.size != meta.size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "became shorter while it was read"));
        }
        self.spool.push(&IndexEntry::of(meta, &hashing.digest()))
    }

    pub(super) fn leave_out(&mut self, path: String, what: &'static str) {
        self.left_out.push(LeftOut { path, what });
    }

    fn finish(mut self) -> io::Result<Finished> {
        let (length, index) = self.spool.finish(&self.left_out)?;
        Meta::document(INDEX, length, self.seconds).append(&mut self.tar, index)?;
        let mut file = self.tar.into_inner()?.finish()?;
        file.flush()?;
        file.file.get_ref().sync_all()?;
        Ok(Finished { size: file.size, sha256: hex::encode(file.digest.finalize()) })
    }
}

/// Writes on and remembers the digest and number of the bytes.
struct Digesting {
    file: BufWriter<File>,
    digest: Sha256,
    size: u64,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.digest.update(bytes.get(..length).unwrap_or_default());
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
