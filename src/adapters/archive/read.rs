//! Reads archives back: the manifest alone, or everything against the index.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use tar::{Archive, Entry, EntryType};

use super::index::{Hashing, Index, IndexEntry, is_safe};
use super::{INDEX, MANIFEST, failed};
use crate::ports::{PortError, PortResult};

/// Largest manifest or index that is read into memory.
const DOCUMENT_LIMIT: u64 = 64 * 1024 * 1024;

/// One entry as it is read.
type Reading<'a> = Entry<'a, zstd::Decoder<'static, BufReader<File>>>;

/// `manifest.json`, which is the first entry: the rest is not read.
pub(super) fn manifest(path: &Path) -> PortResult<serde_json::Value> {
    let manifest = open(path).and_then(|mut archive| {
        let mut entry = archive.entries()?.next().ok_or_else(|| broken("is empty"))??;
        if name(&entry)? != MANIFEST {
            return Err(broken("does not begin with its manifest"));
        }
        document(&mut entry)
    });
    manifest.map_err(|error| failed("cannot read", path, &error))
}

/// Reads every byte and compares sizes and digests with the index, which must name all entries in their order.
pub(super) fn verify(path: &Path) -> PortResult<()> {
    let (found, index) = read_all(path).map_err(|error| failed("cannot read back", path, &error))?;
    if found == index.entries {
        return Ok(());
    }
    let named = found.iter().zip(&index.entries).find(|(found, named)| found != named);
    let which = named.map_or("an entry", |(found, _)| found.path.as_str());
    Err(PortError::Permanent(format!("archive: {} is damaged: {which} is not as indexed", path.display())))
}

fn read_all(path: &Path) -> io::Result<(Vec<IndexEntry>, Index)> {
    let mut archive = open(path)?;
    let mut found = Vec::new();
    let mut index = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = name(&entry)?;
        if index.is_some() {
            return Err(broken("goes on after its index"));
        }
        if name == INDEX {
            index = Some(document(&mut entry)?);
        } else {
            let mut hashing = Hashing::new(&mut entry);
            io::copy(&mut hashing, &mut io::sink())?;
            found.push(hashing.entry(name));
        }
    }
    Ok((found, index.ok_or_else(|| broken("has no index"))?))
}

fn open(path: &Path) -> io::Result<Archive<zstd::Decoder<'static, BufReader<File>>>> {
    Ok(Archive::new(zstd::Decoder::new(File::open(path)?)?))
}

fn name(entry: &Reading<'_>) -> io::Result<String> {
    let name = String::from_utf8(entry.path_bytes().into_owned());
    match name {
        Ok(name) if is_safe(&name) && entry.header().entry_type() == EntryType::Regular => Ok(name),
        Ok(_) | Err(_) => Err(broken("has an entry that is no plain file inside it")),
    }
}

fn document<T: serde::de::DeserializeOwned>(entry: &mut Reading<'_>) -> io::Result<T> {
    Ok(serde_json::from_reader(entry.take(DOCUMENT_LIMIT))?)
}

fn broken(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive {how}"))
}
