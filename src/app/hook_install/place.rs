//! Puts files in place: each is complete or not there.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use super::HookInstallError;

/// Begins the second line of each script of ours.
const MARK: &str = "# drey: ";

/// Writes the script, after moving a hook that is not ours to `aside`. True when something changed.
pub(super) fn place_script(hook: &Path, aside: &Path, script: &str) -> Result<bool, HookInstallError> {
    if is_foreign(hook)? {
        if fs::symlink_metadata(aside).is_ok() {
            return Err(HookInstallError::Folder {
                path: hook.to_path_buf(),
                reason: format!("is not drey's, and {} is there too; join the two into one", aside.display()),
            });
        }
        fs::rename(hook, aside).map_err(failed(hook, "cannot be moved aside"))?;
    }
    write(hook, script, 0o755)
}

/// Writes a secret, for the owner only.
pub(super) fn write_private(path: &Path, secret: &str) -> Result<bool, HookInstallError> {
    write(path, &format!("{secret}\n"), 0o600)
}

/// Whether somebody else's hook is there: one without our mark, or a link to wherever.
pub(super) fn is_foreign(hook: &Path) -> Result<bool, HookInstallError> {
    match fs::symlink_metadata(hook) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(hook, "cannot be looked at")(error)),
        Ok(kind) if !kind.is_file() => return Ok(true),
        Ok(_) => {}
    }
    let text = fs::read(hook).map_err(failed(hook, "cannot be read"))?;
    let second = text.split(|&byte| byte == b'\n').nth(1).unwrap_or_default();
    Ok(!second.starts_with(MARK.as_bytes()))
}

/// Beside its place, then renamed onto it.
fn write(path: &Path, text: &str, mode: u32) -> Result<bool, HookInstallError> {
    let regular = fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o777 == mode);
    if regular && fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        give_to_owner(path)?;
        return Ok(false);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".drey-new.{}", std::process::id()));
    let new = Path::new(&name);
    match fs::remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(new, "is in the way")(error)),
        Err(_) | Ok(()) => {}
    }
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            // Whatever the umask made of it.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            hand_over(new)?;
            fs::rename(new, path)
        });
    written.map_err(|error| {
        // The rest of a failed attempt; that it failed is told.
        drop(fs::remove_file(new));
        failed(path, "cannot be written")(error)
    })?;
    Ok(true)
}

/// Root installs for whoever pushes: a file of the repository belongs to the owner of its folder, as the rest of it does.
fn give_to_owner(path: &Path) -> Result<(), HookInstallError> {
    hand_over(path).map_err(failed(path, "cannot be given to the owner of the repository"))
}

fn hand_over(path: &Path) -> std::io::Result<()> {
    let folder = fs::metadata(path.parent().unwrap_or(Path::new(".")))?;
    give(path, folder.uid(), folder.gid())
}

/// Only root may give.
fn give(path: &Path, owner: u32, group: u32) -> std::io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    // The folder is its owner's, who may put a link there meanwhile: it is never followed.
    lchown(path, Some(owner), Some(group))
}

/// Makes a folder of the repository, and what is missing above it.
pub(super) fn make_folder(path: &Path) -> Result<(), HookInstallError> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(path, "cannot be made")(error)),
        Ok(()) => give_to_owner(path),
    }
}

/// Whose a file is that somebody else is about to replace.
pub(super) struct Kept {
    /// Links followed: it is the file itself that is replaced.
    path: PathBuf,
    owner: u32,
    group: u32,
}

impl Kept {
    pub(super) fn of(path: &Path) -> Result<Self, HookInstallError> {
        let path = path.canonicalize().map_err(failed(path, "cannot be looked at"))?;
        let facts = fs::metadata(&path).map_err(failed(&path, "cannot be looked at"))?;
        Ok(Self { path, owner: facts.uid(), group: facts.gid() })
    }

    pub(super) fn give_back(self) -> Result<(), HookInstallError> {
        give(&self.path, self.owner, self.group)
            .map_err(failed(&self.path, "cannot be given back to its owner"))
    }
}

pub(super) fn failed<'a>(
    path: &'a Path,
    doing: &'static str,
) -> impl Fn(std::io::Error) -> HookInstallError + use<'a> {
    move |error| HookInstallError::File { path: path.to_path_buf(), doing, error }
}
