//! `index.json`: what an archive says of its own entries, written and compared one entry at a time.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::entry::{Meta, broken};

/// One entry. A path that is no UTF-8 is given as the hexadecimal digits of its bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct IndexEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(default)]
    kind: String,
    size: u64,
    /// Of the content, in lower-case hexadecimal digits.
    sha256: String,
}

/// Identifies path, size and content of an entry.
pub(super) type Fingerprint = [u8; 32];

impl IndexEntry {
    pub(super) fn of(meta: &Meta, digest: &str) -> Self {
        let path = std::str::from_utf8(&meta.path).ok().map(str::to_owned);
        let path_hex = path.is_none().then(|| hex::encode(&meta.path));
        let (kind, sha256) = (meta.kind.word().to_owned(), digest.to_owned());
        Self { path, path_hex, kind, size: meta.size, sha256 }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let spelled = self.path.as_ref().map(hex::encode);
        let path = spelled.or_else(|| self.path_hex.clone()).unwrap_or_default();
        Sha256::digest(format!("{path} {} {}", self.size, self.sha256)).into()
    }

    fn name(&self) -> &str {
        self.path.as_deref().or(self.path_hex.as_deref()).unwrap_or("an entry without a name")
    }
}

/// The digest of all of it, in lower-case hexadecimal digits.
pub(super) fn digest_of(content: impl Read) -> io::Result<String> {
    let mut hashing = Hashing::new(BufReader::with_capacity(1 << 20, content));
    let mut buffer = vec![0; 1 << 20];
    while hashing.read(&mut buffer)? > 0 {}
    Ok(hashing.digest())
}

/// Passes bytes on and remembers their digest and number.
pub(super) struct Hashing<R> {
    inner: R,
    digest: Sha256,
    pub(super) size: u64,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, digest: Sha256::new(), size: 0 }
    }

    pub(super) fn digest(self) -> String {
        hex::encode(self.digest.finalize())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.digest.update(buffer.get(..length).unwrap_or_default());
        self.size += length as u64;
        Ok(length)
    }
}

/// What a volume holds that is not in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LeftOut {
    pub(super) path: String,
    /// `socket`, `device`, `tmpfs volume`.
    pub(super) what: &'static str,
}

/// The index as it grows: on disk, because a volume may hold millions of files. Removed when dropped.
pub(super) struct Spool {
    path: PathBuf,
    file: BufWriter<File>,
    is_empty: bool,
}

impl Spool {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let mut file = BufWriter::new(file);
        file.write_all(b"{\"entries\":[\n")?;
        Ok(Self { path, file, is_empty: true })
    }

    pub(super) fn push(&mut self, entry: &IndexEntry) -> io::Result<()> {
        if !std::mem::take(&mut self.is_empty) {
            self.file.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut self.file, entry)?;
        Ok(())
    }

    /// The whole document from its beginning, and its length.
    pub(super) fn finish(&mut self, left_out: &[LeftOut]) -> io::Result<(u64, BufReader<File>)> {
        self.file.write_all(b"\n],\"left_out\":")?;
        serde_json::to_writer(&mut self.file, left_out)?;
        self.file.write_all(b"}\n")?;
        self.file.flush()?;
        let mut file = self.file.get_ref().try_clone()?;
        let length = file.stream_position()?;
        file.seek(SeekFrom::Start(0))?;
        Ok((length, BufReader::new(file)))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        fs::remove_file(&self.path).unwrap_or_default();
    }
}

/// Compares an index with the entries that were found, in their order; the name of the first that differs.
pub(super) fn compare(index: impl Read, found: &[Fingerprint]) -> io::Result<Result<(), String>> {
    let lines = ShortLines { inner: BufReader::new(index), length: 0 };
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(lines));
    Ok(deserializer.deserialize_map(Document { found })?)
}

/// Longest line: a text of one is held in memory. An entry has a path of 4 KiB at most; what was left out stands in one line.
const LINE_LIMIT: usize = 64 * 1024 * 1024;

/// Passes on what has lines of a length that is fit for memory.
struct ShortLines<R> {
    inner: R,
    length: usize,
}

impl<R: Read> Read for ShortLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        self.length = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => read - end,
            None => self.length + read,
        };
        if self.length > LINE_LIMIT {
            return Err(broken("has an index with a line that is too long"));
        }
        Ok(read)
    }
}

/// The document, of which only `entries` counts.
struct Document<'a> {
    found: &'a [Fingerprint],
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Result<(), String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index with entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut result = Err("the list of its entries".to_owned());
        while let Some(key) = map.next_key::<String>()? {
            if key == "entries" {
                result = map.next_value_seed(Entries { found: self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(result)
    }
}

struct Entries<'a> {
    found: &'a [Fingerprint],
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = Result<(), String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Result<(), String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut differing = None;
        let mut found = self.found.iter();
        while let Some(entry) = entries.next_element::<IndexEntry>()? {
            if found.next() != Some(&entry.fingerprint()) {
                differing.get_or_insert_with(|| entry.name().to_owned());
            }
        }
        let surplus = found.next().map(|_| "an entry that it does not name".to_owned());
        Ok(differing.or(surplus).map_or(Ok(()), Err))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path().join("index.unfinished")).unwrap();
        let entries: Vec<IndexEntry> = [&b"a"[..], b"b/\xff", b"c"]
            .iter()
            .map(|path| {
                let meta = Meta { path: path.to_vec(), ..Meta::document("", 3, 0) };
                IndexEntry::of(&meta, "00ff")
            })
            .collect();
        entries.iter().for_each(|entry| spool.push(entry).unwrap());
        let left_out = [LeftOut { path: "volumes/x/sock".to_owned(), what: "socket" }];
        let (length, mut document) = spool.finish(&left_out).unwrap();
        let mut text = String::new();
        document.read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, length);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["left_out"][0]["what"],
            "socket"
        );

        let mut found: Vec<Fingerprint> = entries.iter().map(IndexEntry::fingerprint).collect();
        assert_eq!(compare(text.as_bytes(), &found).unwrap(), Ok(()));
        assert!(compare(text.as_bytes(), &[found.clone(), vec![[0; 32]]].concat()).unwrap().is_err());
        found[1] = [7; 32];
        assert_eq!(compare(text.as_bytes(), &found).unwrap(), Err("622fff".to_owned()));
        assert!(compare(&b"{\"entries\":7}"[..], &found).is_err());
        drop(spool);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
