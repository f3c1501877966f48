//! The key: a file of age's own kind, made once, for its owner alone.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;

use crate::ports::{PortError, PortResult};

/// In the data directory. A backup of the database is worth nothing for secrets without it.
pub(super) const FILE: &str = "secrets.key";

pub(super) fn read(path: &Path) -> PortResult<Identity> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let way_out = "bring it back from a backup, or set the secrets again";
        PortError::Permanent(format!("{}: {error}: it is the key of the secrets; {way_out}", path.display()))
    })?;
    text.trim().parse().map_err(|reason| {
        PortError::Permanent(format!(
            "{}: is no key of age ({reason}); bring it back from a backup",
            path.display()
        ))
    })
}

pub(super) fn read_or_make(path: &Path) -> PortResult<Identity> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return read(path),
        Err(error) => return Err(failed(path, &error)),
    };
    let identity = Identity::generate();
    let text = identity.to_string();
    let written = file
        .write_all(format!("{}\n", text.expose_secret()).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(path));
    if let Err(error) = written {
        // Half a key would stand in the way of a whole one.
        std::fs::remove_file(path).ok();
        return Err(failed(path, &error));
    }
    tracing::info!(path = %path.display(), "a key for secrets was made; back it up, apart from the database");
    Ok(identity)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

fn failed(path: &Path, error: &std::io::Error) -> PortError {
    PortError::Permanent(format!("{}: {error}", path.display()))
}
