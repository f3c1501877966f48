//! Reads archives back, one pass from the first byte to the last; nothing hostile gets past.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde_json::Value;
use tar::Archive;

use super::channel::ReadAhead;
use super::entries::{self, ENTRY_LIMIT};
use super::entry::{Kind, Meta, broken};
use super::index::{self, Fingerprint, Hashing, IndexEntry};
use super::{IMAGES, INDEX, MANIFEST, failed};
use crate::ports::{ARCHIVE_FORMAT, PortError, PortResult};

/// Largest manifest that is read into memory.
const MANIFEST_LIMIT: u64 = 16 * 1024 * 1024;
/// Volumes of one archive; each has its own limit.
const VOLUME_COUNT: usize = 1000;
/// All files that are neither in a volume nor images: logs, mostly.
const FILES_LIMIT: u64 = 8 << 30;
/// The images, as the engine packs them.
const IMAGES_LIMIT: u64 = 256 << 30;
/// The index: a line for each entry.
const INDEX_LIMIT: u64 = 16 << 30;
/// What may follow the end of a tar: it is filled up to a whole record.
const REST_LIMIT: u64 = 1024 * 1024;
/// Read from the disk at once.
const BLOCK: usize = 1 << 20;

/// Sees every entry of an archive between its manifest and its index, in their order.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&Meta, &mut dyn Read) -> io::Result<()>;

/// `manifest.json`, which is the first entry: the rest is not read.
pub(super) fn manifest(path: &Path) -> PortResult<Value> {
    let mut manifest = None;
    let read = open(path).and_then(|mut archive| {
        entries::each(&mut archive, |meta, content| {
            manifest = Some(checked_manifest(meta, content)?.0);
            Err(io::Error::other("that is all"))
        })
    });
    match (manifest, read) {
        (Some(manifest), _) => Ok(manifest),
        (None, Ok(())) => Err(failed("cannot read", path, &broken("is empty"))),
        (None, Err(error)) => Err(failed("cannot read", path, &error)),
    }
}

/// Reads every byte and compares sizes and digests with the index, which must name all entries in their order.
/// `volume_limit` bytes are the most that one volume may have.
pub(super) fn verify(path: &Path, volume_limit: u64) -> PortResult<()> {
    let mut found: Vec<Fingerprint> = Vec::new();
    let mut differing = None;
    let walked = walk(path, volume_limit, &mut |meta, content| {
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
pub(super) fn walk(path: &Path, volume_limit: u64, visit: Visit<'_>) -> io::Result<()> {
    let mut archive = open(path)?;
    let mut order = Order::default();
    let mut sizes = Sizes::new(volume_limit);
    entries::each(&mut archive, |meta, content| {
        if order.is_first() {
            let (_, bytes) = checked_manifest(meta, content)?;
            visit(meta, &mut bytes.as_slice())?;
        }
        if order.take(meta)? == Place::Content {
            sizes.count(meta)?;
            visit(meta, content)?;
        }
        Ok(())
    })?;
    order.end()?;
    // To the last byte: the checksum of the whole lies behind the end of the tar. Nothing else does.
    let mut rest = archive.into_inner().take(REST_LIMIT);
    if io::copy(&mut rest, &mut io::sink())? == REST_LIMIT {
        return Err(broken("goes on after its end"));
    }
    Ok(())
}

/// What entries say that they hold, by part: an archive of a few bytes may say that it holds more than any disk.
struct Sizes {
    volume_limit: u64,
    entries: u64,
    volumes: HashMap<Vec<u8>, u64>,
    files: u64,
}

impl Sizes {
    fn new(volume_limit: u64) -> Self {
        Self { volume_limit, entries: 0, volumes: HashMap::new(), files: 0 }
    }

    fn count(&mut self, meta: &Meta) -> io::Result<()> {
        self.entries += 1;
        if self.entries > ENTRY_LIMIT {
            return Err(broken(&format!("has more than {ENTRY_LIMIT} entries")));
        }
        let (held, limit, of) = match volume_of(&meta.path) {
            Some(key) => {
                if !self.volumes.contains_key(key) && self.volumes.len() >= VOLUME_COUNT {
                    return Err(broken(&format!("has more than {VOLUME_COUNT} volumes")));
                }
                let held = self.volumes.entry(key.to_vec()).or_default();
                (held, self.volume_limit, format!("volume {:?} ([archive] max_volume)", shown(key)))
            }
            None if meta.path == IMAGES.as_bytes() => (&mut 0, IMAGES_LIMIT, "images".to_owned()),
            None if meta.path == INDEX.as_bytes() => (&mut 0, INDEX_LIMIT, "index".to_owned()),
            None => (&mut self.files, FILES_LIMIT, "files".to_owned()),
        };
        *held = held.saturating_add(meta.size);
        if *held > limit {
            return Err(broken(&format!("holds more than {limit} bytes of its {of}")));
        }
        Ok(())
    }
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
    if meta.size > MANIFEST_LIMIT {
        return Err(broken(&format!(
            "has a manifest of {} bytes, and {MANIFEST_LIMIT} are the most",
            meta.size
        )));
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

fn open(path: &Path) -> io::Result<Archive<ReadAhead>> {
    let file = BufReader::with_capacity(BLOCK, File::open(path)?);
    Ok(Archive::new(ReadAhead::new(zstd::Decoder::with_buffer(file)?)))
}

pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
