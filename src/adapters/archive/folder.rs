//! A volume's folder on this machine: what a tar stream does not tell, and cannot give back.
//!
//! Branches filled it: no link in it is ever followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, Mode, OFlags, ResolveFlags};

/// The unit in which the engine's file systems give out space.
pub(super) const BLOCK: u64 = 4096;
/// Bytes in a unit of `st_blocks`, whatever the file system's own block is (`stat(2)`).
const STAT_BLOCK: u64 = 512;

pub(super) struct Folder {
    path: PathBuf,
    handle: OwnedFd,
}

/// A stretch of zeros in a file, by its path below the volume's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) path: Vec<u8>,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), handle })
    }

    /// Whether the file takes less space than it is long. What cannot be seen has none.
    pub(super) fn has_holes(&self, path: &[u8]) -> bool {
        let facts = self.file(path, OFlags::RDONLY).and_then(|file| file.metadata());
        facts.is_ok_and(|facts| facts.is_file() && facts.blocks() * STAT_BLOCK < facts.len())
    }

    /// Gives the space under the zeros back; a file system that cannot leaves the file as it is.
    pub(super) fn dig(&self, hole: &Hole) -> io::Result<()> {
        let file = self.file(&hole.path, OFlags::RDWR)?;
        let written = file.metadata()?.modified()?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&file, flags, hole.offset, hole.length) {
            Ok(()) => file.set_modified(written),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What no archive holds: sockets and devices, by their paths below the root. What cannot be read is passed over:
    /// the tar stream has the content.
    pub(super) fn left_out(&self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        let mut open = vec![self.path.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                let what = if kind.is_socket() {
                    "socket"
                } else if kind.is_char_device() || kind.is_block_device() {
                    "device"
                } else {
                    if kind.is_dir() {
                        open.push(entry.path());
                    }
                    continue;
                };
                let path = entry.path();
                let inside = path.strip_prefix(&self.path).unwrap_or(&path);
                found.push((inside.to_string_lossy().into_owned(), what));
            }
        }
        found.sort();
        found
    }

    fn file(&self, path: &[u8], access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path = Path::new(OsStr::from_bytes(path));
        Ok(File::from(rustix::fs::openat2(&self.handle, path, flags, Mode::empty(), resolve)?))
    }
}

/// Finds the stretches of whole zero blocks in content that passes by.
#[derive(Default)]
pub(super) struct Zeros {
    at: u64,
    /// Beginning of the present stretch.
    begin: Option<u64>,
    pub(super) found: Vec<(u64, u64)>,
}

impl Zeros {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let to_border = usize::try_from(BLOCK - self.at % BLOCK).unwrap_or(rest.len());
            let (part, after) = rest.split_at(to_border.min(rest.len()));
            if part.iter().any(|byte| *byte != 0) {
                self.close(self.at);
            } else if self.begin.is_none() {
                self.begin = Some(self.at);
            }
            self.at += part.len() as u64;
            rest = after;
        }
    }

    pub(super) fn finish(&mut self) {
        self.close(self.at);
    }

    /// Whole blocks only; the file's last block counts up to its end.
    fn close(&mut self, end: u64) {
        let Some(begin) = self.begin.take() else { return };
        let (first, last) = (begin.next_multiple_of(BLOCK), end - end % BLOCK);
        if first < last {
            self.found.push((first, last - first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_found_in_whole_blocks_however_they_come() {
        let block = usize::try_from(BLOCK).unwrap();
        let mut content = vec![0; block * 6];
        content[block * 2 + 5] = 1;
        content[block * 4] = 1;
        for chunk in [1, 7, block, block * 2 + 1, content.len()] {
            let mut zeros = Zeros::default();
            content.chunks(chunk).for_each(|bytes| zeros.push(bytes));
            zeros.finish();
            assert_eq!(zeros.found, [(0, BLOCK * 2), (BLOCK * 3, BLOCK), (BLOCK * 5, BLOCK)], "{chunk}");
        }
    }

    #[test]
    fn holes_are_seen_and_dug_and_no_link_is_followed() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("full"), vec![0; 1 << 20]).unwrap();
        std::fs::write(outside.path().join("full"), vec![0; 1 << 20]).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("sock")).unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        assert!(!opened.has_holes(b"full"));
        opened.dig(&Hole { path: b"full".to_vec(), offset: 0, length: 1 << 19 }).unwrap();
        assert!(opened.has_holes(b"full"));
        assert!(opened.dig(&Hole { path: b"out/full".to_vec(), offset: 0, length: 1 << 19 }).is_err());
        assert!(!Folder::open(outside.path()).unwrap().has_holes(b"full"));
        assert_eq!(opened.left_out(), [("sock".to_owned(), "socket")]);
    }
}
