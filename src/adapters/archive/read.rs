//! Reads archives back, one pass from the first byte to the last; nothing hostile gets past.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde_json::Value;
use tar::Archive;

use super::channel::ReadAhead;
use super::entry::{Kind, Meta, Unfit, broken};
use super::index::{self, Fingerprint, Hashing, IndexEntry};
use super::{INDEX, MANIFEST, failed};
use crate::ports::{ARCHIVE_FORMAT, PortError, PortResult};

/// Largest manifest that is read into memory.
const MANIFEST_LIMIT: u64 = 64 * 1024 * 1024;
/// Read from the disk at once.
const BLOCK: usize = 1 << 20;

/// Sees every entry of an archive between its manifest and its index, in their order.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&Meta, &mut dyn Read) -> io::Result<()>;

/// `manifest.json`, which is the first entry: the rest is not read.
pub(super) fn manifest(path: &Path) -> PortResult<Value> {
    let manifest = open(path).and_then(|mut archive| {
        let mut entry = archive.entries()?.next().ok_or_else(|| broken("is empty"))??;
        let meta = fit(Meta::read(&mut entry))?;
        checked_manifest(&meta, &mut entry).map(|(manifest, _)| manifest)
    });
    manifest.map_err(|error| failed("cannot read", path, &error))
}

/// Reads every byte and compares sizes and digests with the index, which must name all entries in their order.
pub(super) fn verify(path: &Path) -> PortResult<()> {
    let mut found: Vec<Fingerprint> = Vec::new();
    let mut differing = None;
    let walked = walk(path, &mut |meta, content| {
        if meta.path == INDEX.as_bytes() {
            differing = index::compare(content, &found)?.err();
            return Ok(());
        }
        let mut hashing = Hashing::new(content);
        io::copy(&mut hashing, &mut io::sink())?;
        found.push(IndexEntry::of(meta, &hashing.digest()).fingerprint());
        Ok(())
    });
    walked.map_err(|error| failed("cannot read back", path, &error))?;
    match differing {
        None => Ok(()),
        Some(which) => Err(PortError::Permanent(format!(
            "archive: {} is damaged: {which} is not as indexed",
            path.display()
        ))),
    }
}

/// Shows every entry to `visit`: the manifest first, the index last. What it leaves unread is read and dropped.
pub(super) fn walk(path: &Path, visit: Visit<'_>) -> io::Result<()> {
    let mut archive = open(path)?;
    let mut order = Order::default();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let meta = fit(Meta::read(&mut entry))?;
        if order.is_first() {
            let (_, bytes) = checked_manifest(&meta, &mut entry)?;
            visit(&meta, &mut bytes.as_slice())?;
        }
        if order.take(&meta)? == Place::Content {
            visit(&meta, &mut entry)?;
        }
    }
    order.end()?;
    // To the last byte: the checksum of the whole lies behind the end of the tar.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It was shown already.
    Manifest,
    Content,
}

/// What has to hold of the entries one after another.
#[derive(Default)]
struct Order {
    has_manifest: bool,
    has_index: bool,
    /// Symbolic links: nothing may lie below one.
    links: HashSet<Vec<u8>>,
}

impl Order {
    const fn is_first(&self) -> bool {
        !self.has_manifest
    }

    fn take(&mut self, meta: &Meta) -> io::Result<Place> {
        if !self.has_manifest {
            self.has_manifest = true;
            return Ok(Place::Manifest);
        }
        if self.has_index {
            return Err(broken("goes on after its index"));
        }
        self.has_index = meta.path == INDEX.as_bytes();
        let is_in_volume = |path: &[u8]| path.starts_with(super::VOLUMES.as_bytes());
        if meta.kind != Kind::File && !is_in_volume(&meta.path) {
            return Err(broken(&format!("has an entry that is no plain file: {:?}", shown(&meta.path))));
        }
        let link = (meta.kind == Kind::Hardlink).then_some(&meta.link);
        for path in link.into_iter().chain([&meta.path]) {
            if self.is_below_link(path) {
                return Err(broken(&format!("has an entry below a symbolic link: {:?}", shown(path))));
            }
        }
        if link.is_some_and(|link| volume_of(link) != volume_of(&meta.path)) {
            return Err(broken(&format!("has a hard link out of its volume: {:?}", shown(&meta.path))));
        }
        if meta.kind == Kind::Symlink {
            self.links.insert(meta.path.clone());
        } else {
            self.links.remove(&meta.path);
        }
        Ok(Place::Content)
    }

    fn is_below_link(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        !self.links.is_empty()
            && ends.into_iter().any(|end| self.links.contains(path.get(..end).unwrap_or_default()))
    }

    fn end(&self) -> io::Result<()> {
        if !self.has_manifest {
            return Err(broken("is empty"));
        }
        if self.has_index { Ok(()) } else { Err(broken("has no index")) }
    }
}

/// `volumes/<key>` of a path below it.
pub(super) fn volume_of(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(super::VOLUMES.as_bytes())?.split(|byte| *byte == b'/').next()
}

fn checked_manifest(meta: &Meta, content: &mut dyn Read) -> io::Result<(Value, Vec<u8>)> {
    if meta.path != MANIFEST.as_bytes() || meta.kind != Kind::File {
        return Err(broken("does not begin with its manifest"));
    }
    let mut bytes = Vec::new();
    content.take(MANIFEST_LIMIT).read_to_end(&mut bytes)?;
    let manifest: Value = serde_json::from_slice(&bytes)?;
    let format = manifest.get("format").and_then(Value::as_u64).unwrap_or(1);
    if format > ARCHIVE_FORMAT {
        return Err(broken(&format!(
            "is of format {format}, which a newer drey wrote; this one reads formats up to {ARCHIVE_FORMAT}: update drey"
        )));
    }
    Ok((manifest, bytes))
}

fn fit(meta: Result<Meta, Unfit>) -> io::Result<Meta> {
    meta.map_err(|unfit| match unfit {
        Unfit::Device => broken("has a device among its entries"),
        Unfit::Broken(error) => error,
    })
}

fn open(path: &Path) -> io::Result<Archive<ReadAhead>> {
    let file = BufReader::with_capacity(BLOCK, File::open(path)?);
    Ok(Archive::new(ReadAhead::new(zstd::Decoder::with_buffer(file)?)))
}

pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
