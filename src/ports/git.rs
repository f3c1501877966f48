//! One bare mirror per repository, and questions about its commits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::PortResult;
use crate::domain::images::{BuildInputs, BuildSources};
use crate::domain::names::{BranchName, CommitSha, RepoName};
use crate::domain::text::clean_line;

/// A configured repository: where its mirror comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub repo: RepoName,
    /// Path, `https://` or `ssh://`, from the configuration only, never from a payload.
    pub url: String,
}

/// What a written tree may not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLimits {
    pub bytes: u64,
    pub files: u64,
    /// Of one file.
    pub file_bytes: u64,
}

/// What a commit names and drey does not fetch: paths in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeNotes {
    /// Empty folders in the checkout.
    pub submodules: Vec<String>,
    /// Files of Git LFS: the checkout has a few lines in their place.
    pub lfs_pointers: Vec<String>,
}

/// Paths that a note names; the others are counted.
const NAMED_AT_MOST: usize = 5;

impl TreeNotes {
    /// A sentence for each kind that is there.
    pub fn told(&self) -> Vec<String> {
        let kinds = [
            (&self.submodules, "submodules are not fetched, their folders are empty"),
            (&self.lfs_pointers, "files of Git LFS are not fetched, the checkout has their pointers"),
        ];
        let tell = |(paths, what): (&Vec<String>, &str)| {
            let named: Vec<String> = paths.iter().take(NAMED_AT_MOST).map(|path| clean_line(path)).collect();
            let more = paths.len().saturating_sub(NAMED_AT_MOST);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{what}: {}{more}", named.join(", "))
        };
        kinds.into_iter().filter(|(paths, _)| !paths.is_empty()).map(tell).collect()
    }
}

#[async_trait]
pub trait Git: Send + Sync {
    /// All branches at the remote, by `ls-remote`.
    async fn branches(&self, remote: &Remote) -> PortResult<BTreeMap<BranchName, CommitSha>>;
    /// Fetches the one branch into the mirror and says where it is; `None` when the remote has no such branch.
    async fn fetch(&self, remote: &Remote, branch: &BranchName) -> PortResult<Option<CommitSha>>;
    /// Writes the commit's files into `destination`, which must not exist: no `.git`, symbolic links as links. Says what
    /// the commit has elsewhere.
    async fn write_tree(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        destination: &Path,
        limits: TreeLimits,
    ) -> PortResult<TreeNotes>;
    /// Git id (with its mode) of what lies at each path of the commit, symbolic links followed inside the tree;
    /// a path that is not there is left out. The empty path is the root tree.
    async fn content_ids(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        paths: &[PathBuf],
    ) -> PortResult<BTreeMap<PathBuf, String>>;
    /// What a build reads: see [`BuildInputs`]. Paths are relative to the checkout, `/`-separated.
    async fn build_inputs(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        sources: &BuildSources,
    ) -> PortResult<BuildInputs>;
    /// Whether `commit` is not reachable from `main`: it is the branch's own.
    async fn is_own_commit(&self, repo: &RepoName, commit: &CommitSha, main: &CommitSha) -> PortResult<bool>;
    /// Whether the tip is in main: as an ancestor, or because merging it would change nothing although it has
    /// a difference against the merge base (squash, rebase, cherry-pick).
    async fn is_merged(&self, repo: &RepoName, tip: &CommitSha, main: &CommitSha) -> PortResult<bool>;
    /// Forgets the mirror's ref of a branch; gone already is success.
    async fn forget(&self, repo: &RepoName, branch: &BranchName) -> PortResult<()>;
}

/// Commits that outlive their branches: what archives were made of. Teardown needs none of it: a mirror that is gone
/// has no commit to keep.
#[async_trait]
pub trait KeptCommits: Send + Sync {
    /// Keeps the commit in the mirror under the archive's id, whatever becomes of its branch; durable when it returns.
    /// The same id again keeps this commit instead. `NotFound` when the mirror does not have it.
    async fn keep_commit(&self, repo: &RepoName, archive: &str, commit: &CommitSha) -> PortResult<()>;
    /// Keeps it no longer for this archive; gone already is success.
    async fn release_commit(&self, repo: &RepoName, archive: &str) -> PortResult<()>;
    /// The archives for which commits are kept; none where there is no mirror.
    async fn kept_commits(&self, repo: &RepoName) -> PortResult<Vec<String>>;
    /// Whether the mirror has the commit, kept or not.
    async fn has_commit(&self, repo: &RepoName, commit: &CommitSha) -> PortResult<bool>;
}

/// Where commits stand to each other, as far as the mirror knows.
#[async_trait]
pub trait Ancestry: Send + Sync {
    /// How many commits of `target`, as it was fetched last, are not in `commit`; `None`: the mirror does not have the
    /// branch.
    async fn behind(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        target: &BranchName,
    ) -> PortResult<Option<u64>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_fetched_is_told_in_a_sentence() {
        assert_eq!(TreeNotes::default().told(), Vec::<String>::new());
        let notes = TreeNotes {
            submodules: vec!["lib/\u{1b}[31mx".to_owned()],
            lfs_pointers: (0..7).map(|number| number.to_string()).collect(),
        };
        assert_eq!(
            notes.told(),
            [
                "submodules are not fetched, their folders are empty: lib/x",
                "files of Git LFS are not fetched, the checkout has their pointers: 0, 1, 2, 3, 4 and 2 more"
            ]
        );
    }
}
