//! Errors of libgit2 and of files, as the ports know them.

use std::io;
use std::path::Path;

use git2::{ErrorClass, ErrorCode};

use crate::ports::PortError;

/// `what` was being done or looked for when libgit2 failed.
pub(super) fn local(what: &str, error: &git2::Error) -> PortError {
    let text = format!("git: {what}: {}", error.message());
    if error.code() == ErrorCode::NotFound {
        return PortError::NotFound(text);
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
