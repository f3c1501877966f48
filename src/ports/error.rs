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
    /// A newer generation took over; nobody waits for the answer.
    #[error("cancelled")]
    Cancelled,
}

impl PortError {
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

pub type PortResult<T> = Result<T, PortError>;
