//! A volume's folder on this machine as the tar stream that the engine would make of it, and with what the engine leaves
//! out: every extended attribute, and which files have holes. No link is followed; what is no file is not opened.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use tar::Builder;

use super::entry::{ATTRIBUTES, Kind, Meta, broken};

/// Read from a file at once.
const BLOCK: usize = 64 * 1024;
/// Bytes in a unit of `st_blocks` (`stat(2)`).
const STAT_BLOCK: u64 = 512;
/// Attributes that belong to the machine and not to the content.
const MACHINES: [&[u8]; 2] = [b"security.selinux", b"trusted.overlay."];
/// Most bytes of the names, or of the value, of extended attributes: what Linux allows.
const ATTRIBUTE_LIMIT: usize = 64 * 1024;

/// Writes all that lies in the folder, as `root` and below it; devices and sockets are left out.
pub(super) fn pack(folder: &Path, root: &str, into: impl Write) -> io::Result<()> {
    let mut packing = Packing { tar: Builder::new(into), links: HashMap::new() };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(folder, flags, Mode::empty())?;
    let facts = rustix::fs::fstat(&handle)?;
    packing.folder(&handle, &facts, root.as_bytes())?;
    packing.tar.into_inner()?.flush()
}

struct Packing<W: Write> {
    tar: Builder<W>,
    /// Files with several names → the first one.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packing<W> {
    fn folder(&mut self, handle: &OwnedFd, facts: &Stat, path: &[u8]) -> io::Result<()> {
        let meta = Meta { attributes: attributes(handle)?, ..meta(facts, Kind::Folder, path.to_vec()) };
        meta.append(&mut self.tar, io::empty())?;
        for name in names(handle)? {
            let below = [path, b"/", &name].concat();
            self.entry(handle, OsStr::from_bytes(&name), below)?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: &OwnedFd, name: &OsStr, path: Vec<u8>) -> io::Result<()> {
        let facts = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let open = |flags: OFlags| {
            let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::empty())
        };
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::Directory => self.folder(&open(OFlags::DIRECTORY)?, &facts, &path),
            FileType::RegularFile if self.is_known(&facts, &path) => {
                let first = self.links.get(&identity(&facts)).cloned().unwrap_or_default();
                let meta = Meta { size: 0, link: first, ..meta(&facts, Kind::Hardlink, path) };
                meta.append(&mut self.tar, io::empty())
            }
            FileType::RegularFile => self.file(File::from(open(OFlags::empty())?), &facts, path),
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(parent, name, Vec::new())?.into_bytes();
                let meta = Meta { size: 0, link, ..meta(&facts, Kind::Symlink, path) };
                meta.append(&mut self.tar, io::empty())
            }
            FileType::Fifo => meta(&facts, Kind::Pipe, path).append(&mut self.tar, io::empty()),
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Socket | FileType::Unknown => {
                Ok(())
            }
        }
    }

    /// Whether a name of this file went before; if not, it does now.
    fn is_known(&mut self, facts: &Stat, path: &[u8]) -> bool {
        if facts.st_nlink < 2 {
            return false;
        }
        if self.links.contains_key(&identity(facts)) {
            return true;
        }
        self.links.insert(identity(facts), path.to_vec());
        false
    }

    fn file(&mut self, file: File, facts: &Stat, path: Vec<u8>) -> io::Result<()> {
        let mut meta = Meta { attributes: attributes(&file)?, ..meta(facts, Kind::File, path) };
        meta.has_holes = u64::try_from(facts.st_blocks).unwrap_or(0) * STAT_BLOCK < meta.size;
        let mut content = Counted { inner: file.take(meta.size), count: 0 };
        let reader = BufReader::with_capacity(BLOCK, &mut content);
        meta.append(&mut self.tar, reader)?;
        if content.count == meta.size {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter while it was read"))
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count += length as u64;
        Ok(length)
    }
}

fn identity(facts: &Stat) -> (u64, u64) {
    (facts.st_dev, facts.st_ino)
}

fn meta(facts: &Stat, kind: Kind, path: Vec<u8>) -> Meta {
    let size = if kind == Kind::File { u64::try_from(facts.st_size).unwrap_or(0) } else { 0 };
    Meta {
        path,
        kind,
        mode: facts.st_mode & 0o7777,
        user: facts.st_uid.into(),
        group: facts.st_gid.into(),
        ..Meta::document("", size, u64::try_from(facts.st_mtime).unwrap_or(0))
    }
}

/// Sorted, so that the same folder gives the same stream.
fn names(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn attributes(file: impl AsFd) -> io::Result<Vec<(String, Vec<u8>)>> {
    let length = match rustix::fs::flistxattr_query(&file) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    if length == 0 {
        return Ok(Vec::new());
    }
    let mut list = vec![0; length];
    let length = rustix::fs::flistxattr(&file, list.as_mut_slice())?;
    let mut found = Vec::new();
    for name in list.get(..length).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_odd| broken("gets an odd attribute"))?;
        if MACHINES.iter().any(|machines| name.to_bytes().starts_with(machines)) {
            continue;
        }
        let mut value = vec![0; ATTRIBUTE_LIMIT];
        let length = rustix::fs::fgetxattr(&file, name, value.as_mut_slice())?;
        value.truncate(length);
        found.push((format!("{ATTRIBUTES}{}", name.to_string_lossy()), value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::XattrFlags;

    use super::super::unpack::fill;
    use super::*;

    #[test]
    fn a_folder_goes_through_a_stream_and_comes_back() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = |name: &str| from.path().join(name);
        std::fs::create_dir(path("sub")).unwrap();
        std::fs::write(path("sub/a"), "content").unwrap();
        std::fs::hard_link(path("sub/a"), path("hard")).unwrap();
        symlink("/etc/passwd", path("out")).unwrap();
        std::fs::set_permissions(path("sub/a"), PermissionsExt::from_mode(0o4711)).unwrap();
        File::create(path("sparse")).unwrap().set_len(1 << 20).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("sock")).unwrap();
        let kept = rustix::fs::setxattr(path("sub/a"), "user.note", b"kept", XattrFlags::empty()).is_ok();

        let volume = to.path().join("_data");
        std::fs::create_dir(&volume).unwrap();
        let mut stream = Vec::new();
        pack(from.path(), "volume", &mut stream).unwrap();
        fill(stream.as_slice(), &volume, "volume").unwrap();
        let mut again = Vec::new();
        pack(&volume, "volume", &mut again).unwrap();
        assert_eq!(stream, again);
        assert!(!volume.join("sock").exists());
        let file = File::open(volume.join("sub/a")).unwrap();
        let note = rustix::fs::fgetxattr(&file, "user.note", &mut [0_u8; 16][..]).unwrap_or(0);
        assert_eq!(note, if kept { 4 } else { 0 });
        assert!(fill(stream.as_slice(), &volume, "volume").is_err(), "nothing is overwritten");
    }
}
