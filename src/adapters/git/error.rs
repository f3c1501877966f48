//! Errors of libgit2 and of files, as the ports know them.

use std::io;
use std::path::Path;

use git2::{ErrorClass, ErrorCode};

use crate::ports::PortError;

/// `what` was being done or looked for when libgit2 failed.
pub(super) fn local(what: &str, error: &git2::Error) -> PortError {
    let text = format!("git: {what}: {}", error.message());
    match error.code() {
        ErrorCode::NotFound => PortError::NotFound(text),
        // Another process had it for a moment.
        ErrorCode::Locked => PortError::Transient(text),
        _ if matches!(error.class(), ErrorClass::Os | ErrorClass::NoMemory) => PortError::Transient(text),
        _ => PortError::Permanent(text),
    }
}

/// A full disk or a missing right can be mended from outside: worth another try.
pub(super) fn file(what: &str, path: &Path, error: &io::Error) -> PortError {
    PortError::Transient(format!("git: {what} {}: {error}", path.display()))
}
