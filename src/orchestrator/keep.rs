//! What outlives an environment besides its archive's file, for as long as the archive is there.

use crate::domain::names::CommitSha;
use crate::ports::PortError;

use super::failure::Failure;
use super::run::Run;

impl Run<'_> {
    /// Nothing was archived, and maybe nothing will be: the next try keeps the commit anew.
    pub(super) async fn let_commit_go(&self, archive: &str) {
        let repo = &self.environment.repo;
        if let Err(error) = self.house.ports.commits.release_commit(repo, archive).await {
            // Looking through the archives finds it.
            tracing::warn!(%error, archive.id = archive, "the archive's commit stays in the mirror for now");
        }
    }

    /// Keeps the archive's commit in the mirror. An end needs no repository: where the mirror or the commit is gone, the
    /// archive is written all the same.
    pub(super) async fn keep_commit(&self, archive: &str, commit: Option<&CommitSha>) -> Result<(), Failure> {
        let Some(commit) = commit else { return Ok(()) };
        let repo = &self.environment.repo;
        match self.house.ports.commits.keep_commit(repo, archive, commit).await {
            Err(error @ (PortError::NotFound(_) | PortError::Permanent(_))) => {
                self.say(format!("archive {archive}: the commit {commit} cannot be kept: {error}"));
                tracing::warn!(%error, archive.id = archive, "the archive's commit cannot be kept in the mirror");
                Ok(())
            }
            kept => Ok(kept?),
        }
    }
}
