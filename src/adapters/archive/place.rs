//! Entries made on this machine's disk, below one root: through no link, and over nothing that is there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::entry::{ATTRIBUTES, Kind, Meta, broken};
use super::read::shown;

/// Where the entries go: below one name in a folder that is there.
pub(super) struct Place {
    /// First part of every entry's path.
    pub(super) root: Vec<u8>,
    folder: PathBuf,
    handle: OwnedFd,
    name: OsString,
    /// The root is there, and its content belongs together: links may lead anywhere.
    is_volume: bool,
    /// Folders get their modes and times last, when nothing is made in them any more.
    folders: Vec<(Vec<u8>, Meta)>,
    is_root: bool,
}

impl Place {
    /// A new name: `destination`, or the root's own inside it where it is a folder.
    pub(super) fn choose(destination: &Path, root: &[u8]) -> io::Result<Self> {
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
        Self::open(folder, name, root, false)
    }

    /// A volume's folder, which is there and empty.
    pub(super) fn volume(folder: &Path, root: &[u8]) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            return Err(io::Error::other(format!("{}: is no volume's folder", folder.display())));
        };
        Self::open(parent.to_owned(), name.to_owned(), root, true)
    }

    fn open(folder: PathBuf, name: OsString, root: &[u8], is_volume: bool) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(&folder, flags, Mode::empty())
            .map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))?;
        let is_root = rustix::process::geteuid().is_root();
        Ok(Self { root: root.to_vec(), folder, handle, name, is_volume, folders: Vec::new(), is_root })
    }

    /// Where the root is.
    pub(super) fn target(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Whether it was made.
    pub(super) fn make(&mut self, meta: &Meta, rest: &[u8], content: &mut dyn Read) -> io::Result<bool> {
        let path = self.path(rest);
        let (parent, name) = self.parent(&path)?;
        match meta.kind {
            Kind::Folder => {
                if !(self.is_volume && rest.is_empty()) {
                    rustix::fs::mkdirat(&parent, &name, Mode::RWXU)?;
                }
                self.folders.push((path, meta.clone()));
                return Ok(true);
            }
            Kind::File => return self.file(&parent, &name, meta, content).map(|()| true),
            Kind::Symlink if !self.is_volume && !stays_inside(rest, &meta.link) => return Ok(false),
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
        self.dress(parent, name, meta)?;
        self.set_attributes(&file, meta)?;
        self.set_time(parent, name, meta)
    }

    /// After the owner, whose change takes capabilities away. Only where everything is given back.
    fn set_attributes(&self, file: impl AsFd, meta: &Meta) -> io::Result<()> {
        for (key, value) in meta.attributes.iter().filter(|_| self.is_volume) {
            let name = key.strip_prefix(ATTRIBUTES).unwrap_or(key);
            rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty())?;
        }
        Ok(())
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
        self.set_time(parent, name, meta)
    }

    fn set_time(&self, parent: &OwnedFd, name: &OsStr, meta: &Meta) -> io::Result<()> {
        let time = Timespec { tv_sec: i64::try_from(meta.time).unwrap_or(i64::MAX), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// From the inside to the outside, so that a folder's time is not changed by its children.
    pub(super) fn finish(self) -> io::Result<()> {
        for (path, meta) in self.folders.iter().rev() {
            let (parent, name) = self.parent(path)?;
            if !meta.attributes.is_empty() {
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                self.set_attributes(rustix::fs::openat(&parent, &name, flags, Mode::empty())?, meta)?;
            }
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
        match self.below(folder) {
            Ok(parent) => Ok((parent, name)),
            // A part of an archive may begin below folders that have no entry of their own.
            Err(Errno::NOENT) => {
                self.make_folders(folder)?;
                Ok((self.below(folder)?, name))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn below(&self, folder: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.handle, folder, flags, Mode::empty(), resolve)
    }

    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        let mut made = PathBuf::new();
        for part in folder.components() {
            let parent = if made.as_os_str().is_empty() {
                self.handle.as_fd().try_clone_to_owned()?
            } else {
                self.below(&made)?
            };
            match rustix::fs::mkdirat(&parent, part.as_os_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => made.push(part),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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
