//! What of a branch is deployed: its own commit, or that commit merged into the branch it is to go into.

use crate::domain::names::{BranchName, CommitSha};
use crate::domain::pull_request::{PullState, Subject};
use crate::domain::sift::conflict;
use crate::ports::Merged;

use super::failure::Failure;
use super::house::Repository;
use super::run::Run;

impl Run<'_> {
    /// The commit whose files are deployed for the branch at `commit`.
    ///
    /// # Errors
    /// [`Failure::Failed`] when it cannot be merged: only the branch can change that.
    pub(super) async fn subject(
        &self,
        repository: &Repository,
        commit: &CommitSha,
    ) -> Result<CommitSha, Failure> {
        if repository.subject == Subject::Head || !self.environment.follows_branch() {
            return Ok(commit.clone());
        }
        let target = self.target(repository).await?;
        if target == self.environment.branch {
            return Ok(commit.clone());
        }
        let Some(tip) = self.house.fetch(repository, &target).await? else {
            return Err(Failure::Failed(format!(
                "cannot be merged into {target} (`subject = \"merge\"`): the remote has no such branch"
            )));
        };
        match self.house.ports.changes.merge(&self.environment.repo, commit, &tip).await? {
            Merged::Into(merged) => {
                self.say(format!("merged into {target}, which is at {tip}: {merged}"));
                Ok(merged)
            }
            Merged::Conflict(paths) => Err(Failure::Failed(conflict(&target, &paths))),
        }
    }

    /// Where an open pull request wants the branch to go; without one, main.
    async fn target(&self, repository: &Repository) -> Result<BranchName, Failure> {
        let pulls = self.house.store.pulls_of(&self.environment.repo, &self.environment.branch).await?;
        let open = pulls.into_iter().find(|pull| pull.state == PullState::Open);
        Ok(open.map_or_else(|| repository.main.clone(), |pull| pull.target))
    }
}
