//! The one error of all ports.

use thiserror::Error;

/// Why the outside did not do what was asked.
#[derive(Debug, Error)]
pub enum PortError {
    /// May well work when tried again: refused connection, time-out, a busy engine.
    #[error("{0}")]
    Transient(String),
    /// Will not work without a change of the input: a broken file, a failing build.
    #[error("{0}")]
    Permanent(String),
    /// The branch asks for something that it may not have.
    #[error("{0}")]
    Refused(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// A disk is full: it will work when there is room.
    #[error("{0}")]
    NoRoom(String),
    /// A newer generation took over; nobody waits for the answer.
    #[error("cancelled")]
    Cancelled,
}

impl PortError {
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_) | Self::NoRoom(_))
    }

    /// [`Self::Transient`], or [`Self::NoRoom`] where the words say that a disk is full. `what` there was no room for.
    pub fn outside(what: &str, text: String) -> Self {
        if is_no_room(&text) {
            Self::NoRoom(format!("no room for {what}: {text}"))
        } else {
            Self::Transient(text)
        }
    }
}

/// What the system and every tool say when a disk, or what somebody may have of it, is full.
pub fn is_no_room(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["no space left on device", "disk quota exceeded"].iter().any(|words| text.contains(words))
}

pub type PortResult<T> = Result<T, PortError>;
