//! What a delivery claimed and the remote does not confirm: it changes nothing.

use crate::domain::environment::{Intent, Outcome};
use crate::domain::names::CommitSha;
use crate::domain::observed::Observed;

use super::failure::Failure;
use super::farewell::Farewell;
use super::run::Run;
use super::teardown::NO_SUCH_BRANCH;

impl Run<'_> {
    /// Whether the newest wish came from a delivery that named another commit than `tip`, where the branch is and was:
    /// a late one, a reordered one, or an invented one.
    pub(super) async fn is_unmoved(&self, tip: &CommitSha) -> Result<bool, Failure> {
        let Intent::Run { commit: Some(claimed), rebuild: false, pull: false } = &self.environment.intent
        else {
            return Ok(false);
        };
        if claimed == tip {
            return Ok(false);
        }
        Ok(self.house.store.former_commit(self.environment.id).await?.as_ref() == Some(tip))
    }

    /// All is as it was before the wish.
    pub(super) async fn stay(&self, tip: &CommitSha) -> Result<(), Failure> {
        self.say(format!("{} is where it was, at {tip}: nothing is to be done", self.environment.branch));
        let (id, generation) = (self.environment.id, self.environment.generation);
        let now = self.house.ports.clock.now();
        let stayed = self.house.store.stay(id, generation, now).await?.ok_or(Failure::Superseded)?;
        self.board.refresh(&stayed).await;
        Ok(())
    }

    /// The remote has no such branch. What has nothing that could be kept goes at once.
    ///
    /// # Errors
    /// [`Failure::Gone`] when there is something: its end has a grace and an archive.
    pub(super) async fn vanish(&self) -> Result<(), Failure> {
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        if !self.has_nothing(&observed).await? {
            return Err(Failure::Gone);
        }
        self.say(format!("{NO_SUCH_BRANCH}: {}", self.environment.branch));
        self.end(Farewell { outcome: Outcome::Deleted, archive: false, reason: None }).await
    }

    /// It never came so far as to have anything on the engine: nobody misses it.
    pub(super) async fn has_nothing(&self, observed: &Observed) -> Result<bool, Failure> {
        let on_engine = observed.containers.len() + observed.networks.len() + observed.volumes.len();
        Ok(on_engine == 0
            && self.environment.running_commit.is_none()
            && self.house.store.stack(self.environment.id).await?.is_none())
    }
}
