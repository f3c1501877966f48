//! What a branch changes, and what is fetched for a pull request.

use async_trait::async_trait;
use git2::{Commit, ErrorCode, Reference, Repository};

use super::error::inside;
use super::remote::Wanted;
use super::{GitAdapter, differences, merging, mirror};
use crate::domain::names::{BranchName, CommitSha, RepoName};
use crate::ports::{ChangedPaths, Changes, MESSAGE_BYTES, Merged, PortError, PortResult, Remote, meters};

#[async_trait]
impl Changes for GitAdapter {
    async fn changed_paths(
        &self,
        repo: &RepoName,
        base: &CommitSha,
        tip: &CommitSha,
    ) -> PortResult<ChangedPaths> {
        let (base, tip) = (base.clone(), tip.clone());
        let done = self
            .ask(repo, move |repository| {
                let (base, tip) = (mirror::commit(repository, &base)?, mirror::commit(repository, &tip)?);
                changed(repository, &base, &tip)
            })
            .await;
        meters::git("changed_paths", done)
    }

    async fn message(&self, repo: &RepoName, commit: &CommitSha) -> PortResult<String> {
        let commit = commit.clone();
        let done = self
            .ask(repo, move |repository| {
                let commit = mirror::commit(repository, &commit)?;
                let message = commit.message_bytes();
                let read = message.get(..MESSAGE_BYTES).unwrap_or(message);
                Ok(String::from_utf8_lossy(read).into_owned())
            })
            .await;
        meters::git("message", done)
    }

    async fn merge(&self, repo: &RepoName, head: &CommitSha, target: &CommitSha) -> PortResult<Merged> {
        let (head, target) = (head.clone(), target.clone());
        // It writes objects, and whoever fetches sweeps away what is half written.
        let turn = self.turn_of(repo);
        let _held = turn.take().await;
        let done = self
            .ask(repo, move |repository| {
                merging::merge(
                    repository,
                    &mirror::commit(repository, &head)?,
                    &mirror::commit(repository, &target)?,
                )
            })
            .await;
        meters::git("merge", done)
    }

    async fn behind(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        target: &CommitSha,
    ) -> PortResult<(usize, usize)> {
        let (commit, target) = (commit.clone(), target.clone());
        let done = self
            .ask(repo, move |repository| {
                let (commit, target) =
                    (mirror::commit(repository, &commit)?, mirror::commit(repository, &target)?);
                repository
                    .graph_ahead_behind(commit.id(), target.id())
                    .map_err(|error| inside("cannot count commits", &error))
            })
            .await;
        meters::git("behind", done)
    }

    async fn fetch_pull(
        &self,
        remote: &Remote,
        reference: &str,
        branch: &BranchName,
    ) -> PortResult<Option<CommitSha>> {
        // It becomes part of an argument of git: a full ref, without what a refspec is made of.
        if !reference.starts_with("refs/") || !Reference::is_valid_name(reference) {
            return Err(PortError::Permanent(format!("{reference:?} is not a ref that could be fetched")));
        }
        meters::git("fetch", self.fetch_or_renew(remote, Wanted { reference, branch }).await)
    }
}

fn changed(repository: &Repository, base: &Commit<'_>, tip: &Commit<'_>) -> PortResult<ChangedPaths> {
    let failed = |error: git2::Error| inside("cannot tell what the branch changes", &error);
    let from = match repository.merge_base(base.id(), tip.id()) {
        Ok(base) => Some(repository.find_commit(base).map_err(failed)?.tree_id()),
        // Unrelated histories: all of it is the branch's own.
        Err(error) if error.code() == ErrorCode::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    differences::paths(repository, from, tip.tree_id())
}
