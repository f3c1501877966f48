//! Writes a commit's files into a folder that nobody else writes to.
//!
//! Every folder is made here and every file opened as new, so no link that the tree brings is ever followed.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use git2::{Odb, Oid, Repository, Tree, TreeEntry};

use super::error::{file, inside};
use super::times::Times;
use super::tree::{self, TYPE_LINK, TYPE_MASK, TYPE_SUBMODULE, TYPE_TREE};
use crate::ports::{PortError, PortResult, TreeLimits, TreeNotes};

/// Folders within folders; far below what the kernel takes in one path.
const DEPTH_LIMIT: usize = 512;

/// `destination` must not exist. On an error, or once `given_up` is set, nothing is left of it.
pub(super) fn write_tree(
    repository: &Repository,
    tree: &Tree<'_>,
    destination: &Path,
    limits: TreeLimits,
    given_up: &AtomicBool,
) -> PortResult<TreeNotes> {
    if let Some(parent) = destination.parent() {
        fs::create_dir_all(parent).map_err(|error| file("cannot make", parent, &error))?;
    }
    // Before the clean-up is in charge: what was there before is not ours to remove.
    make_folder(destination)?;
    let odb = repository.odb().map_err(|error| inside("cannot open the objects", &error))?;
    let times = Times::of(destination);
    let notes = TreeNotes::default();
    let mut writer = Writer { repository, odb, limits, left: limits, given_up, times, notes };
    let written = writer.write(tree.id(), destination);
    if let Err(reason) = written {
        if let Err(error) = fs::remove_dir_all(destination) {
            // Why it was not written says more, and the next deployment begins with removing it.
            tracing::warn!(path = %destination.display(), %error, "an unfinished checkout cannot be removed");
        }
        return Err(reason);
    }
    if let Err(error) = writer.times.keep() {
        tracing::warn!(path = %destination.display(), %error, "the times of a checkout cannot be kept");
    }
    Ok(writer.notes)
}

struct Writer<'r> {
    repository: &'r Repository,
    odb: Odb<'r>,
    limits: TreeLimits,
    /// What may still be written.
    left: TreeLimits,
    given_up: &'r AtomicBool,
    times: Times,
    notes: TreeNotes,
}

impl Writer<'_> {
    fn write(&mut self, root: Oid, destination: &Path) -> PortResult<()> {
        let mut folders = vec![(root, destination.to_owned(), 0)];
        while let Some((id, folder, depth)) = folders.pop() {
            let tree = tree::folder(self.repository, id, &below(&folder, destination))?;
            for entry in &tree {
                if self.given_up.load(Ordering::Relaxed) {
                    return Err(PortError::Cancelled);
                }
                let path = folder.join(legal_name(entry.name_bytes())?);
                self.count_file()?;
                match entry.filemode_raw() & TYPE_MASK {
                    TYPE_TREE if depth >= DEPTH_LIMIT => {
                        return Err(PortError::Permanent(format!(
                            "the commit has folders more than {DEPTH_LIMIT} deep"
                        )));
                    }
                    TYPE_TREE => {
                        make_folder(&path)?;
                        folders.push((entry.id(), path, depth + 1));
                    }
                    TYPE_SUBMODULE => {
                        make_folder(&path)?;
                        self.notes.submodules.push(below(&path, destination));
                    }
                    _ => self.write_entry(&entry, &path, destination)?,
                }
            }
        }
        Ok(())
    }

    fn write_entry(&mut self, entry: &TreeEntry<'_>, path: &Path, root: &Path) -> PortResult<()> {
        let what = path.display().to_string();
        // The size comes first: a huge file is refused before it is in memory.
        let (size, _) = self.odb.read_header(entry.id()).map_err(|error| inside(&what, &error))?;
        let relative = path.strip_prefix(root).unwrap_or(path);
        self.count_bytes(relative, size as u64)?;
        let blob = self.repository.find_blob(entry.id()).map_err(|error| inside(&what, &error))?;
        let mode = entry.filemode_raw();
        let written = if mode & TYPE_MASK == TYPE_LINK {
            if blob.size() == 0 {
                return Err(PortError::Permanent(format!("{what}: a symbolic link without a target")));
            }
            symlink(OsStr::from_bytes(blob.content()), path)
        } else {
            if is_lfs_pointer(blob.content()) {
                self.notes.lfs_pointers.push(below(path, root));
            }
            write_file(path, blob.content(), if mode & 0o111 == 0 { 0o644 } else { 0o755 })
                .and_then(|file| self.times.settle(&file, relative, entry.id()))
        };
        written.map_err(|error| refusal(path, &error))
    }

    fn count_file(&mut self) -> PortResult<()> {
        let files = self.left.files.checked_sub(1);
        self.left.files = files.ok_or_else(|| {
            PortError::Permanent(format!(
                "the commit has more than {} files and folders: raise `[limits] checkout_files`",
                self.limits.files
            ))
        })?;
        Ok(())
    }

    fn count_bytes(&mut self, path: &Path, size: u64) -> PortResult<()> {
        if size > self.limits.file_bytes {
            return Err(PortError::Permanent(format!(
                "{} has {size} bytes, more than {}: take it out of the branch, or raise `[limits] checkout_file_bytes`",
                path.display(),
                self.limits.file_bytes
            )));
        }
        let bytes = self.left.bytes.checked_sub(size);
        self.left.bytes = bytes.ok_or_else(|| {
            PortError::Permanent(format!(
                "the commit has more than {} bytes: raise `[limits] checkout_bytes`",
                self.limits.bytes
            ))
        })?;
        Ok(())
    }
}

fn below(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// What stands in git for a file that Git LFS keeps elsewhere (its specification: such a file has less than 1024 bytes).
fn is_lfs_pointer(content: &[u8]) -> bool {
    content.len() < 1024 && content.starts_with(b"version https://git-lfs.github.com/spec/")
}

fn make_folder(path: &Path) -> PortResult<()> {
    let made = DirBuilder::new().create(path).and_then(|()| {
        // Containers with users of their own read it, whatever the daemon's umask is.
        fs::set_permissions(path, Permissions::from_mode(0o755))
    });
    made.map_err(|error| refusal(path, &error))
}

fn write_file(path: &Path, content: &[u8], mode: u32) -> std::io::Result<fs::File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// What the tree asks for and the file system cannot give is the tree's fault; the rest may pass.
fn refusal(path: &Path, error: &std::io::Error) -> PortError {
    if error.kind() == ErrorKind::AlreadyExists {
        let text = format!("{} is there already, or twice in the commit", path.display());
        return PortError::Permanent(text);
    }
    if matches!(error.kind(), ErrorKind::InvalidFilename | ErrorKind::InvalidInput) {
        return PortError::Permanent(format!("{}: {error}", path.display()));
    }
    PortError::outside("the checkout", format!("git: cannot write {}: {error}", path.display()))
}

/// A name that stays inside its folder and is not git's own.
fn legal_name(name: &[u8]) -> PortResult<PathBuf> {
    let is_odd = name.is_empty()
        || matches!(name, b"." | b"..")
        || name.eq_ignore_ascii_case(b".git")
        || name.iter().any(|byte| matches!(byte, b'/' | 0));
    if is_odd {
        return Err(PortError::Permanent(format!(
            "the commit has an entry named {:?}: it is not written",
            String::from_utf8_lossy(name)
        )));
    }
    Ok(PathBuf::from(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_away_are_refused() {
        for bad in [b"".as_slice(), b".", b"..", b".git", b".GIT", b"a/b", b"/etc", b"a\0"] {
            assert!(legal_name(bad).is_err(), "{bad:?}");
        }
        for good in [b".gitignore".as_slice(), b"...", b"-rf", b"a\\b", b"\xff", b"$(id)"] {
            assert!(legal_name(good).is_ok(), "{good:?}");
        }
    }
}
