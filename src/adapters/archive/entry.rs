//! One entry of an archive or of a volume's stream: what it is, read from a tar entry and written as one.

use std::io::{self, Read, Write};
use std::path::{Component, Path};

use std::os::unix::ffi::OsStrExt;
use tar::{Builder, Entry, EntryType, Header};

/// Longest name that the header itself holds; longer ones go before it (PAX).
const SHORT: usize = 100;
/// Longest name or target: what Linux allows.
pub(super) const LONGEST: usize = 4096;
/// The extended attributes that are kept, as PAX spells them.
pub(super) const ATTRIBUTES: &str = "SCHILY.xattr.";
/// Says of a file that it had holes; PAX leaves such names to whoever writes them.
const HOLES: &str = "DREY.holes";

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink,
    /// Another name of a file that came before it; the link is that file's path.
    Hardlink,
    Pipe,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Symlink => "symlink",
            Self::Hardlink => "hardlink",
            Self::Pipe => "pipe",
        }
    }
}

/// Everything of an entry but its content. Paths are bytes: file names need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) user: u64,
    pub(super) group: u64,
    /// Seconds since the epoch.
    pub(super) time: u64,
    /// Of a file's content; 0 for all else.
    pub(super) size: u64,
    /// PAX keys with the values of extended attributes.
    pub(super) attributes: Vec<(String, Vec<u8>)>,
    /// It had holes: what is zero in it need not lie on a disk.
    pub(super) has_holes: bool,
}

/// A tar entry that cannot be kept or given back.
#[derive(Debug)]
pub(super) enum Unfit {
    /// A device.
    Device,
    Broken(io::Error),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Meta {
    /// A plain file of drey's own.
    pub(super) fn document(path: &str, size: u64, time: u64) -> Self {
        Self {
            path: path.into(),
            kind: Kind::File,
            link: Vec::new(),
            mode: 0o600,
            user: 0,
            group: 0,
            time,
            size,
            attributes: Vec::new(),
            has_holes: false,
        }
    }

    pub(super) fn read<R: Read>(entry: &mut Entry<'_, R>) -> Result<Self, Unfit> {
        let extensions = extensions(entry)?;
        let path = entry.path_bytes().into_owned();
        let link = entry.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
        Self::of(entry.header(), entry.size(), (path, link), extensions)
    }

    /// From its header and what stood before it.
    pub(super) fn of(
        header: &Header,
        size: u64,
        (path, link): (Vec<u8>, Vec<u8>),
        Extensions { attributes, has_holes }: Extensions,
    ) -> Result<Self, Unfit> {
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::Hardlink,
            EntryType::Fifo => Kind::Pipe,
            EntryType::Char | EntryType::Block => return Err(Unfit::Device),
            EntryType::GNULongName
            | EntryType::GNULongLink
            | EntryType::GNUSparse
            | EntryType::XGlobalHeader
            | EntryType::XHeader => return Err(unknown(header)),
            _ => return Err(unknown(header)),
        };
        let meta = Self {
            kind,
            mode: header.mode()? & 0o7777,
            user: header.uid()?,
            group: header.gid()?,
            time: header.mtime()?,
            size: if kind == Kind::File { size } else { 0 },
            link: if matches!(kind, Kind::Symlink | Kind::Hardlink) { link } else { Vec::new() },
            path: trimmed(path),
            attributes,
            has_holes,
        };
        meta.check()?;
        Ok(meta)
    }

    /// Refuses what could lead elsewhere. Where a symbolic link leads is its own matter: nothing is ever written
    /// through one.
    fn check(&self) -> io::Result<()> {
        let text = || String::from_utf8_lossy(&self.path).into_owned();
        if !is_safe(&self.path) {
            return Err(broken(&format!("has an entry whose path leads outside: {:?}", text())));
        }
        if self.kind == Kind::Hardlink && !is_safe(&self.link) {
            return Err(broken(&format!("has a hard link that leads outside: {:?}", text())));
        }
        if self.kind == Kind::Symlink && (self.link.is_empty() || self.link.len() > LONGEST) {
            return Err(broken(&format!("has a symbolic link without a target: {:?}", text())));
        }
        Ok(())
    }

    /// Writes it with its content, which must be `size` bytes.
    pub(super) fn append<W: Write>(&self, tar: &mut Builder<W>, content: impl Read) -> io::Result<()> {
        tar.append_pax_extensions(self.extensions())?;
        let mut header = Header::new_gnu();
        header.set_entry_type(match self.kind {
            Kind::File => EntryType::Regular,
            Kind::Folder => EntryType::Directory,
            Kind::Symlink => EntryType::Symlink,
            Kind::Hardlink => EntryType::Link,
            Kind::Pipe => EntryType::Fifo,
        });
        header.set_mode(self.mode);
        header.set_uid(self.user);
        header.set_gid(self.group);
        header.set_mtime(self.time);
        header.set_size(self.size);
        if let Some(gnu) = header.as_gnu_mut() {
            fill(&mut gnu.name, &self.path);
            fill(&mut gnu.linkname, &self.link);
        }
        header.set_cksum();
        tar.append(&header, content)
    }

    fn extensions(&self) -> Vec<(&str, &[u8])> {
        let mut extensions: Vec<(&str, &[u8])> = Vec::new();
        for (key, value) in [("path", &self.path), ("linkpath", &self.link)] {
            if value.len() > SHORT || !value.is_ascii() {
                extensions.push((key, value));
            }
        }
        if self.has_holes {
            extensions.push((HOLES, b"1"));
        }
        extensions.extend(self.attributes.iter().map(|(key, value)| (key.as_str(), value.as_slice())));
        extensions
    }
}

fn unknown(header: &Header) -> Unfit {
    broken(&format!("has an entry of the unknown type {}", header.entry_type().as_byte())).into()
}

/// A folder's path ends with a slash in a tar, and begins with `./` in some.
fn trimmed(mut path: Vec<u8>) -> Vec<u8> {
    while path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
    match path.strip_prefix(b"./") {
        Some(rest) if !rest.is_empty() => rest.to_vec(),
        Some(_) | None => path,
    }
}

fn fill(field: &mut [u8], value: &[u8]) {
    field.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
}

/// What stands before an entry's own header.
#[derive(Default)]
pub(super) struct Extensions {
    attributes: Vec<(String, Vec<u8>)>,
    has_holes: bool,
}

impl Extensions {
    pub(super) fn note(&mut self, key: &str, value: &[u8]) {
        self.has_holes |= key == HOLES;
        if key.starts_with(ATTRIBUTES) {
            self.attributes.push((key.to_owned(), value.to_vec()));
        }
    }
}

fn extensions<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Extensions> {
    let mut found = Extensions::default();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let Ok(key) = extension.key() else { continue };
        found.note(key, extension.value_bytes());
    }
    Ok(found)
}

/// Relative, and nothing in it leads up or elsewhere.
pub(super) fn is_safe(path: &[u8]) -> bool {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !path.is_empty()
        && path.len() <= LONGEST
        && !path.contains(&0)
        && !path.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b".."))
        && Path::new(std::ffi::OsStr::from_bytes(path)).components().all(is_plain)
}

pub(super) fn broken(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_away_are_not_safe() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "./x", "a//b", "a\0"] {
            assert!(!is_safe(bad.as_bytes()), "{bad:?}");
        }
        assert!(is_safe(b"logs/web.log") && is_safe(b"...") && is_safe(b"a/\xff"));
    }

    #[test]
    fn an_entry_comes_back_as_it_went() {
        let entries = [
            Meta {
                has_holes: true,
                mode: 0o4750,
                user: 3_000_000,
                group: 7,
                ..Meta::document("volumes/a/f", 5, 1_600_000_000)
            },
            Meta { kind: Kind::Folder, path: "ü/".repeat(90).into_bytes(), ..Meta::document("x", 0, 1) },
            Meta { kind: Kind::Symlink, link: b"../..//odd/./target".to_vec(), ..Meta::document("s", 0, 1) },
            Meta { kind: Kind::Symlink, link: "/long".repeat(60).into_bytes(), ..Meta::document("l", 0, 1) },
            Meta { kind: Kind::Hardlink, link: b"volumes/a/f".to_vec(), ..Meta::document("h", 0, 1) },
            Meta { kind: Kind::Pipe, path: b"p\xff\xfe".to_vec(), ..Meta::document("p", 0, 1) },
            Meta {
                attributes: vec![("SCHILY.xattr.security.capability".to_owned(), vec![1, 0, 0, 2, 255])],
                ..Meta::document("cap", 5, 1)
            },
        ];
        let mut tar = Builder::new(Vec::new());
        for meta in &entries {
            let content: &[u8] = if meta.kind == Kind::File { b"hello" } else { b"" };
            meta.append(&mut tar, content).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let read: Vec<Meta> =
            archive.entries().unwrap().map(|entry| Meta::read(&mut entry.unwrap()).unwrap()).collect();
        let expected = entries.map(|meta| Meta { path: trimmed(meta.path.clone()), ..meta });
        assert_eq!(read, expected);
    }
}
