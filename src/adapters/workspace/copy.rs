//! Copying out of a checkout without being led out of it.

use std::io;
use std::path::{Path, PathBuf};

/// The real path of `relative` below `root`, all links followed.
///
/// # Errors
/// When it leads outside of `root`, or is not there.
pub(super) fn resolve_inside(root: &Path, relative: &str) -> io::Result<PathBuf> {
    let root = root.canonicalize()?;
    let real = root.join(relative).canonicalize()?;
    if real.starts_with(&root) {
        return Ok(real);
    }
    Err(io::Error::other(format!("{relative} leads outside of the checkout")))
}

/// Copies a folder with its modes. Links are copied as links: they resolve inside the container, not here.
pub(super) fn copy_tree(source: &Path, destination: &Path) -> io::Result<()> {
    std::fs::create_dir(destination)?;
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), destination.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from)?, &to)?;
        } else if kind.is_dir() {
            copy_tree(&from, &to)?;
        } else if kind.is_file() {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
