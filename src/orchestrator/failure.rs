//! Why a run of a plan came to no good end.

use thiserror::Error;

use crate::ports::PortError;
use crate::store::StoreError;

/// Decides the phase: what a person must change, what may be tried again, what nobody waits for any more.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// The branch asks for something it may not have: phase `blocked`.
    #[error("{0}")]
    Blocked(String),
    /// The branch does not come up: phase `failed`.
    #[error("{0}")]
    Failed(String),
    /// A job did not do its work: phase `failed`, and the text has the last of its output.
    #[error("{0}")]
    Job(String),
    /// What runs is not as confined as it must be, and was stopped: phase `failed`.
    #[error("{0}")]
    Breach(String),
    /// The outside was away; worth another try.
    #[error("{0}")]
    Transient(String),
    /// A disk is full: it is waited for room.
    #[error("{0}")]
    NoRoom(String),
    /// A newer generation took over.
    #[error("superseded by a newer generation")]
    Superseded,
    /// The remote has no such branch.
    #[error("the branch is gone")]
    Gone,
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Transient(reason) => Self::Transient(reason),
            PortError::Permanent(reason) | PortError::NotFound(reason) => Self::Failed(reason),
            PortError::Refused(reason) => Self::Blocked(reason),
            PortError::NoRoom(reason) => Self::NoRoom(reason),
            PortError::Cancelled => Self::Superseded,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Transient(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_branch_may_not_have_blocks_it() {
        let of = |error: PortError| Failure::from(error);
        assert!(matches!(of(PortError::Refused(String::new())), Failure::Blocked(_)));
        assert!(matches!(of(PortError::Permanent(String::new())), Failure::Failed(_)));
        assert!(matches!(of(PortError::Transient(String::new())), Failure::Transient(_)));
    }
}
