//! An archive that is being written: entries one after another, each noted for the index.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use tar::Builder;

use super::INDEX;
use super::entry::{Kind, Meta};
use super::index::{Hashing, IndexEntry, LeftOut, Spool};
use crate::ports::failpoint;

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

/// An archive that is being written.
pub(super) struct Contents {
    tar: Builder<zstd::Encoder<'static, Digesting>>,
    spool: Spool,
    left_out: Vec<LeftOut>,
    /// Time of drey's own entries: the archive's.
    seconds: u64,
}

impl Contents {
    pub(super) fn begin(unfinished: &Path, spool: Spool, seconds: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(unfinished)?;
        let file = Digesting { file: BufWriter::with_capacity(BLOCK, file), digest: Sha256::new(), size: 0 };
        let mut encoder = zstd::Encoder::new(file, LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.multithread(WORKERS)?;
        Ok(Self { tar: Builder::new(encoder), spool, left_out: Vec::new(), seconds })
    }

    pub(super) fn document(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(&Meta::document(path, bytes.len() as u64, self.seconds), bytes)
    }

    /// A log may still grow: what it had when it was opened is taken. Links are not followed.
    pub(super) fn file(&mut self, path: &str, source: &Path) -> io::Result<()> {
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

    pub(super) fn finish(mut self) -> io::Result<Finished> {
        let (length, index) = self.spool.finish(&self.left_out)?;
        Meta::document(INDEX, length, self.seconds).append(&mut self.tar, index)?;
        let mut file = self.tar.into_inner()?.finish()?;
        file.flush()?;
        failpoint("archive.written");
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
