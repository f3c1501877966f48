//! What a branch changes, what merging it makes, and commits that only a pull request has.

use async_trait::async_trait;

use super::{PortResult, Remote};
use crate::domain::names::{BranchName, CommitSha, RepoName};

/// Most paths that [`Changes::changed_paths`] names.
pub const CHANGED_PATHS_AT_MOST: usize = 10_000;
/// What is read of a commit's message, in bytes.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Paths that two commits have differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedPaths {
    /// Sorted, `/`-separated, each once; both names of what was renamed.
    pub paths: Vec<String>,
    /// There are more than are named.
    pub is_cut: bool,
}

/// What merging one commit into another comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The commit that has both. It is in the mirror for two weeks from now, whatever is tidied there.
    Into(CommitSha),
    /// Paths that both changed and git cannot join, sorted.
    Conflict(Vec<String>),
}

#[async_trait]
pub trait Changes: Send + Sync {
    /// What the branch at `tip` changes since it left `base`: against the merge base of both, or against nothing where they
    /// have none.
    async fn changed_paths(
        &self,
        repo: &RepoName,
        base: &CommitSha,
        tip: &CommitSha,
    ) -> PortResult<ChangedPaths>;
    /// The beginning of the commit's message: [`MESSAGE_BYTES`] of it.
    async fn message(&self, repo: &RepoName, commit: &CommitSha) -> PortResult<String>;
    /// Merges `head` into `target`. The same two always make the same commit; where one of them has the other already,
    /// it is that one.
    async fn merge(&self, repo: &RepoName, head: &CommitSha, target: &CommitSha) -> PortResult<Merged>;
    /// How many commits `commit` has that `target` has not, and how many it lacks of `target`'s: ahead, behind.
    async fn behind(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        target: &CommitSha,
    ) -> PortResult<(usize, usize)>;
    /// Fetches a ref of the configured remote that is no branch (`refs/pull/7/head`) into the mirror, under the branch's
    /// name there; `None` when the remote has no such ref.
    async fn fetch_pull(
        &self,
        remote: &Remote,
        reference: &str,
        branch: &BranchName,
    ) -> PortResult<Option<CommitSha>>;
}
