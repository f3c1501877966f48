//! Letting the code of a fork run: one commit at a time, by a person. Pure.

use serde::Serialize;

use super::names::CommitSha;
use super::time::Timestamp;

/// Somebody let a commit of a pull request run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    pub commit: CommitSha,
    /// Name of the token, or `socket`.
    pub by: String,
    pub at: Timestamp,
}
