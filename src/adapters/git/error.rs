//! Errors of libgit2 and of files, as the ports know them.

use std::io;
use std::path::Path;

use git2::{ErrorClass, ErrorCode};

use crate::ports::PortError;

/// In the text of an error that says that objects or files of the mirror are not as they were written.
const DAMAGE: &str = "the mirror is damaged";

/// Whether [`local`] or [`inside`] found the mirror to be damaged.
pub(super) fn tells_damage(error: &PortError) -> bool {
    matches!(error, PortError::Permanent(text) if text.contains(DAMAGE))
}

/// As [`local`], where what was looked for has to be there: something that is there leads to it.
pub(super) fn inside(what: &str, error: &git2::Error) -> PortError {
    if error.code() == ErrorCode::NotFound && error.class() == ErrorClass::Odb {
        return damage(what, error);
    }
    local(what, error)
}

fn damage(what: &str, error: &git2::Error) -> PortError {
    PortError::Permanent(format!("git: {DAMAGE}: {what}: {}", error.message()))
}

/// `what` was being done or looked for when libgit2 failed.
pub(super) fn local(what: &str, error: &git2::Error) -> PortError {
    let text = format!("git: {what}: {}", error.message());
    if error.code() == ErrorCode::NotFound && error.class() != ErrorClass::Repository {
        return PortError::NotFound(text);
    }
    let of_files = matches!(
        error.class(),
        ErrorClass::Odb
            | ErrorClass::Zlib
            | ErrorClass::Object
            | ErrorClass::Reference
            | ErrorClass::Repository
            | ErrorClass::Config
            | ErrorClass::Indexer
    );
    if of_files && !matches!(error.code(), ErrorCode::Locked | ErrorCode::Exists) {
        return damage(what, error);
    }
    // Locked: another process had it for a moment.
    let may_pass =
        error.code() == ErrorCode::Locked || matches!(error.class(), ErrorClass::Os | ErrorClass::NoMemory);
    if may_pass { PortError::outside("the mirror", text) } else { PortError::Permanent(text) }
}

/// A full disk or a missing right can be mended from outside: worth another try.
pub(super) fn file(what: &str, path: &Path, error: &io::Error) -> PortError {
    PortError::outside("the mirror", format!("git: {what} {}: {error}", path.display()))
}
