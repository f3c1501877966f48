//! A part of an archive onto this machine's disk: only below one new path, through no link, over nothing that is there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};

use super::entry::{Kind, Meta, Unfit, broken};
use super::read::shown;

/// What came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Where it lies.
    pub path: PathBuf,
    pub entries: u64,
    /// Symbolic links that lead elsewhere, and devices: not made.
    pub left_out: Vec<String>,
}

/// Unpacks a tar stream whose paths have one first part: as `destination`, or inside it where it is a folder.
///
/// # Errors
/// When something is there already, or an entry leads elsewhere. What was written until then stays, and is named.
pub fn unpack(stream: impl Read, destination: &Path) -> io::Result<Unpacked> {
    let mut stream = tar::Archive::new(stream);
    let mut place: Option<Place> = None;
    let mut done = Unpacked::default();
    for entry in stream.entries()? {
        let mut entry = entry?;
        let meta = match Meta::read(&mut entry) {
            Ok(meta) => meta,
            Err(Unfit::Device) => return Err(broken("has a device among its entries")),
            Err(Unfit::Broken(error)) => return Err(error),
        };
        let mut parts = meta.path.splitn(2, |byte| *byte == b'/');
        let root = parts.next().unwrap_or_default();
        if place.is_none() {
            place = Some(Place::choose(destination, root)?);
        }
        let Some(place) = place.as_mut() else { continue };
        if place.root != root {
            return Err(broken(&format!("has a stray entry {:?}", shown(&meta.path))));
        }
        done.path = place.folder.join(&place.name);
        if place.make(&meta, parts.next().unwrap_or_default(), &mut entry)? {
            done.entries += 1;
        } else {
            done.left_out.push(shown(&meta.path));
        }
    }
    place.map_or(Ok(()), Place::finish)?;
    Ok(done)
}

/// Where the entries go: below a new name in a folder that is there.
struct Place {
    /// First part of every entry's path.
    root: Vec<u8>,
    folder: PathBuf,
    handle: OwnedFd,
    name: OsString,
    /// Folders get their modes and times last, when nothing is made in them any more.
    folders: Vec<(Vec<u8>, Meta)>,
    is_root: bool,
}

impl Place {
    fn choose(destination: &Path, root: &[u8]) -> io::Result<Self> {
        let destination = std::path::absolute(destination)?;
        let (folder, name) = if destination.is_dir() {
            (destination, OsStr::from_bytes(root).to_owned())
        } else {
            let name = destination.file_name().map(OsStr::to_owned);
            let name = name.ok_or_else(|| io::Error::other("the destination has no name"))?;
            (destination.parent().unwrap_or(Path::new("/")).to_owned(), name)
        };
        if folder.join(&name).symlink_metadata().is_ok() {
            let text = format!("{} is there already", folder.join(&name).display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(&folder, flags, Mode::empty())
            .map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))?;
        let is_root = rustix::process::geteuid().is_root();
        Ok(Self { root: root.to_vec(), folder, handle, name, folders: Vec::new(), is_root })
    }

    /// Whether it was made.
    fn make(&mut self, meta: &Meta, rest: &[u8], content: &mut dyn Read) -> io::Result<bool> {
        let path = self.path(rest);
        let (parent, name) = self.parent(&path)?;
        match meta.kind {
            Kind::Folder => {
                rustix::fs::mkdirat(&parent, &name, Mode::RWXU)?;
                self.folders.push((path, meta.clone()));
                return Ok(true);
            }
            Kind::File => return self.file(&parent, &name, meta, content).map(|()| true),
            Kind::Symlink if !stays_inside(rest, &meta.link) => return Ok(false),
            Kind::Symlink => rustix::fs::symlinkat(OsStr::from_bytes(&meta.link), &parent, &name)?,
            Kind::Pipe => rustix::fs::mknodat(&parent, &name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?,
            Kind::Hardlink => {
                let inside =
                    meta.link.strip_prefix(self.root.as_slice()).and_then(|rest| rest.strip_prefix(b"/"));
                let (from, old) = self.parent(&self.path(inside.unwrap_or_default()))?;
                rustix::fs::linkat(&from, &old, &parent, &name, AtFlags::empty())?;
                return Ok(true);
            }
        }
        self.dress(&parent, &name, meta)?;
        Ok(true)
    }

    fn file(&self, parent: &OwnedFd, name: &OsStr, meta: &Meta, content: &mut dyn Read) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
        if meta.has_holes {
            write_with_holes(&mut file, content, meta.size)?;
        } else {
            io::copy(content, &mut file)?;
        }
        if file.metadata()?.len() != meta.size {
            return Err(broken(&format!("breaks off in {:?}", shown(&meta.path))));
        }
        self.dress(parent, name, meta)
    }

    /// Owner (where we may), mode, time.
    fn dress(&self, parent: &OwnedFd, name: &OsStr, meta: &Meta) -> io::Result<()> {
        if self.is_root {
            let id = |id: u64| u32::try_from(id).ok();
            let (user, group) = (id(meta.user).map(Uid::from_raw), id(meta.group).map(Gid::from_raw));
            rustix::fs::chownat(parent, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if meta.kind != Kind::Symlink {
            // Who cannot give a file away must not make it run as themselves either.
            let mode = if self.is_root { meta.mode } else { meta.mode & 0o777 };
            rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        let time = Timespec { tv_sec: i64::try_from(meta.time).unwrap_or(i64::MAX), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// From the inside to the outside, so that a folder's time is not changed by its children.
    fn finish(self) -> io::Result<()> {
        for (path, meta) in self.folders.iter().rev() {
            let (parent, name) = self.parent(path)?;
            self.dress(&parent, &name, meta)?;
        }
        Ok(())
    }

    fn path(&self, rest: &[u8]) -> Vec<u8> {
        let name = self.name.as_bytes();
        if rest.is_empty() { name.to_vec() } else { [name, b"/", rest].concat() }
    }

    fn parent(&self, path: &[u8]) -> io::Result<(OwnedFd, OsString)> {
        let path = Path::new(OsStr::from_bytes(path));
        let name = path.file_name().unwrap_or_default().to_owned();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Some(folder) = folder else { return Ok((self.handle.as_fd().try_clone_to_owned()?, name)) };
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok((rustix::fs::openat2(&self.handle, folder, flags, Mode::empty(), resolve)?, name))
    }
}

/// Whether a link at `rest` below the root leads to something below the root.
fn stays_inside(rest: &[u8], link: &[u8]) -> bool {
    let mut depth = rest.iter().filter(|byte| **byte == b'/').count();
    for part in Path::new(OsStr::from_bytes(link)).components() {
        match part {
            Component::RootDir | Component::Prefix(_) => return false,
            Component::CurDir => {}
            Component::ParentDir if depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
        }
    }
    !rest.is_empty()
}

fn write_with_holes(file: &mut File, content: &mut dyn Read, size: u64) -> io::Result<()> {
    let mut block = vec![0; 64 * 1024];
    loop {
        let mut length = 0;
        while length < block.len() {
            match content.read(block.get_mut(length..).unwrap_or_default())? {
                0 => break,
                read => length += read,
            }
        }
        let bytes = block.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return if file.stream_position()? == size { file.set_len(size) } else { Ok(()) };
        }
        if bytes.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(i64::try_from(length).unwrap_or(0)))?;
        } else {
            file.write_all(bytes)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn tar(entries: &[(Meta, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        entries.iter().for_each(|(meta, content)| meta.append(&mut tar, *content).unwrap());
        tar.into_inner().unwrap()
    }

    fn entry(path: &str, kind: Kind, link: &str) -> Meta {
        Meta { kind, link: link.into(), mode: 0o750, ..Meta::document(path, 0, 1_600_000_000) }
    }

    #[test]
    fn a_volume_comes_out_with_its_modes_times_links_and_holes() {
        let folder = tempfile::tempdir().unwrap();
        let mut sparse = vec![0; 1 << 20];
        sparse[1 << 19] = 1;
        let stream = tar(&[
            (entry("data", Kind::Folder, ""), b""),
            (entry("data/sub", Kind::Folder, ""), b""),
            (Meta { size: 2, mode: 0o640, ..entry("data/sub/a", Kind::File, "") }, b"hi"),
            (entry("data/hard", Kind::Hardlink, "data/sub/a"), b""),
            (entry("data/sub/in", Kind::Symlink, "../hard"), b""),
            (entry("data/out", Kind::Symlink, "/etc/passwd"), b""),
            (entry("data/up", Kind::Symlink, "../x"), b""),
            (entry("data/pipe", Kind::Pipe, ""), b""),
            (Meta { size: 1 << 20, has_holes: true, ..entry("data/sparse", Kind::File, "") }, &sparse),
        ]);
        let target = folder.path().join("new");
        let done = unpack(stream.as_slice(), &target).unwrap();
        assert_eq!((done.path.as_path(), done.entries), (target.as_path(), 7));
        assert_eq!(done.left_out, ["data/out", "data/up"]);
        let facts = std::fs::metadata(target.join("sub/a")).unwrap();
        assert_eq!(
            (facts.permissions().mode() & 0o7777, facts.mtime(), facts.nlink()),
            (0o640, 1_600_000_000, 2)
        );
        assert_eq!(std::fs::read(target.join("sub/in")).unwrap(), b"hi");
        assert_eq!(std::fs::metadata(&target).unwrap().mtime(), 1_600_000_000);
        assert_eq!(std::fs::read(target.join("sparse")).unwrap(), sparse);
        assert!(std::fs::metadata(target.join("sparse")).unwrap().blocks() * 512 < 1 << 19);

        let again = unpack(stream.as_slice(), &target).unwrap();
        assert_eq!(again.path, target.join("data"), "a folder that is there takes it in");
        let error = unpack(stream.as_slice(), &target).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
    }

    #[test]
    fn a_stream_that_lies_writes_nothing_elsewhere() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let out = outside.path().to_str().unwrap();
        for stream in [
            tar(&[
                (entry("a", Kind::Folder, ""), b""),
                (Meta { size: 1, ..entry("b", Kind::File, "") }, b"x"),
            ]),
            tar(&[
                (entry("a", Kind::Folder, ""), b""),
                (entry("a/l", Kind::Symlink, out), b""),
                (Meta { size: 1, ..entry("a/l/x", Kind::File, "") }, b"x"),
            ]),
            tar(&[(entry("a", Kind::Folder, ""), b""), (entry("a/h", Kind::Hardlink, "b/h"), b"")]),
        ] {
            let target = folder.path().join("t");
            assert!(unpack(stream.as_slice(), &target).is_err());
            std::fs::remove_dir_all(&target).unwrap();
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
