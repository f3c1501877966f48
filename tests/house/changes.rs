//! The fake of what branches change: paths and messages that a test gave its commits, merges that always succeed unless the
//! test says where not, and refs of pull requests.

use std::collections::BTreeMap;

use async_trait::async_trait;
use drey::domain::names::{BranchName, CommitSha, RepoName};
use drey::ports::{ChangedPaths, Changes, Merged, PortResult, Remote};

use crate::fakes::World;

#[async_trait]
impl Changes for World {
    async fn changed_paths(&self, _: &RepoName, _: &CommitSha, tip: &CommitSha) -> PortResult<ChangedPaths> {
        let paths = self.with(|inside| inside.changes.paths.get(tip).cloned().unwrap_or_default());
        Ok(ChangedPaths { paths, is_cut: false })
    }

    async fn message(&self, _: &RepoName, commit: &CommitSha) -> PortResult<String> {
        Ok(self.with(|inside| inside.changes.messages.get(commit).cloned().unwrap_or_default()))
    }

    async fn merge(&self, _: &RepoName, head: &CommitSha, target: &CommitSha) -> PortResult<Merged> {
        Ok(self.with(|inside| {
            if !inside.changes.conflicts.is_empty() {
                return Merged::Conflict(inside.changes.conflicts.clone());
            }
            let merged: String = head.as_str().bytes().zip(target.as_str().bytes()).map(both).collect();
            let merged = CommitSha::parse(&merged).unwrap();
            let document = inside.commits[head].1.clone();
            inside.commits.insert(merged.clone(), (vec![target.clone(), head.clone()], document));
            Merged::Into(merged)
        }))
    }

    async fn behind(
        &self,
        _: &RepoName,
        commit: &CommitSha,
        target: &CommitSha,
    ) -> PortResult<(usize, usize)> {
        let (of_commit, of_target) = (self.ancestors(commit), self.ancestors(target));
        Ok((of_commit.difference(&of_target).count(), of_target.difference(&of_commit).count()))
    }

    async fn fetch_pull(&self, _: &Remote, reference: &str, _: &BranchName) -> PortResult<Option<CommitSha>> {
        self.answer_of_the_remote()?;
        Ok(self.with(|inside| {
            inside.changes.fetched.push(reference.to_owned());
            inside.changes.pulls.get(reference).cloned()
        }))
    }
}

/// What the fake knows beside commits and branches.
#[derive(Default)]
pub(crate) struct Told {
    /// Commit → the paths that its branch changes.
    pub paths: BTreeMap<CommitSha, Vec<String>>,
    pub messages: BTreeMap<CommitSha, String>,
    /// Where merges conflict.
    pub conflicts: Vec<String>,
    /// Ref → commit.
    pub pulls: BTreeMap<String, CommitSha>,
    /// Refs of pull requests that were fetched.
    pub fetched: Vec<String>,
}

/// A digit that neither commit has by itself, where they differ.
fn both((one, other): (u8, u8)) -> char {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default();
    char::from_digit((digit(one) + digit(other)) % 16, 16).unwrap()
}
