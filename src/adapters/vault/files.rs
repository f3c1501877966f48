//! The files that containers see.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::domain::secrets::service_folder;
use crate::ports::{PortError, PortResult, SecretFiles};

/// What a file system in memory says of itself (`statfs`): tmpfs and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

pub(super) fn place(folder: &Path, files: &SecretFiles) -> PortResult<()> {
    let placed = make_private(folder).and_then(|()| {
        remove_others(folder, &files.keys().map(|service| service_folder(service)).collect())?;
        for (service, secrets) in files {
            let folder = folder.join(service_folder(service));
            make_private(&folder)?;
            remove_others(&folder, &secrets.keys().map(ToString::to_string).collect())?;
            for (name, value) in secrets {
                write(&folder.join(name.as_str()), value)?;
            }
        }
        Ok(())
    });
    placed.map_err(|error| {
        PortError::Permanent(format!(
            "{}: secrets cannot be put there: {error}; `secrets.folder` names another folder",
            folder.display()
        ))
    })
}

pub(super) fn clear(folder: &Path) -> PortResult<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(PortError::Transient(format!("{}: {error}", folder.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    let is_new = !folder.exists();
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if is_new && is_in_memory(folder) == Some(false) {
        tracing::warn!(folder = %folder.display(), "secrets are put on a disk: `secrets.folder` is not in memory (tmpfs)");
    }
    Ok(())
}

/// Whether what is there is in memory alone; none where that cannot be told.
pub fn is_in_memory(folder: &Path) -> Option<bool> {
    rustix::fs::statfs(folder).ok().map(|facts| IN_MEMORY.contains(&facts.f_type))
}

fn remove_others(folder: &Path, kept: &BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_kept = entry.file_name().to_str().is_some_and(|name| kept.contains(name));
        if is_kept {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Into the file that is there: a container has bound that one, not its name.
fn write(path: &Path, value: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == value) {
        return Ok(());
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.write_all(value)
}
