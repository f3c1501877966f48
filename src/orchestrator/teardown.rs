//! Ending an environment: from the row and the engine alone; route first, archive before anything is removed.

use crate::domain::environment::{Outcome, Phase};
use crate::domain::plan::Step;
use crate::domain::reconcile::{self, EndFacts};
use crate::ports::{LogRange, PortError, Resource, meters};
use crate::store::StateChange;

use super::failure::Failure;
use super::farewell::Farewell;
use super::run::Run;

/// What is told where a branch is gone and nothing of it is kept.
pub(super) const NO_SUCH_BRANCH: &str = "the remote has no such branch";

impl Run<'_> {
    /// Until nothing of the environment is left but its row, its history and, where wanted, its archive.
    pub(super) async fn end(&self, farewell: Farewell<'_>) -> Result<(), Failure> {
        let Farewell { outcome, archive, .. } = farewell;
        self.board.release(self.environment.id);
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        // A branch that only a delivery knew leaves no archive either, nor does a fork that nobody let run.
        let may_be_nothing = outcome == Outcome::Deleted || self.environment.branch.pull_number().is_some();
        let archive = archive && !(may_be_nothing && self.has_nothing(&observed).await?);
        let farewell = Farewell { archive, ..farewell };
        let phase = if archive { Phase::Archiving } else { Phase::Destroying };
        let plan = reconcile::end(&observed, &self.end_facts(archive).await?);
        self.note(&plan).await?;
        let environment = self.enter(phase).await?;
        self.board.show(&environment, None).await;
        for planned in &plan.steps {
            let measured = meters::step("end", planned.step.word());
            self.end_step(&planned.step, farewell).await?;
            drop(measured);
            self.failpoint_after(&planned.step);
        }
        Ok(())
    }

    async fn end_facts(&self, archive: bool) -> Result<EndFacts, Failure> {
        let id = self.environment.id;
        let store = &self.house.store;
        let archive = archive.then(|| self.environment.archive_id());
        let archived = match &archive {
            Some(archive) => self.is_archived(archive).await?,
            None => false,
        };
        Ok(EndFacts {
            serving: self.environment.serving,
            archive,
            archived,
            images: store.images_of(id).await?,
            has_files: true,
            is_over: false,
            before_archive: store.stack_settings(id).await?.before_archive,
            jobs: self.jobs_done().await?,
        })
    }

    /// Whether a try before this one came as far as the archive. Its file is read again: what is removed next is nowhere
    /// else, and a part of it may be gone already, so that a damaged one is not written anew by itself.
    async fn is_archived(&self, archive: &str) -> Result<bool, Failure> {
        let Some(record) = self.house.store.archive(archive).await? else { return Ok(false) };
        if record.removed_at.is_some() {
            return Ok(false);
        }
        match self.house.ports.archives.check(&record).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => Err(Failure::Failed(format!(
                "{error}; nothing more is removed: `drey env deploy` brings back what is left, `drey env destroy` \
                 gives it up"
            ))),
        }
    }

    async fn end_step(&self, step: &Step, farewell: Farewell<'_>) -> Result<(), Failure> {
        let engine = &self.house.ports.engine;
        let id = self.environment.id;
        match step {
            Step::Withdraw => self.withdraw(farewell.archive).await?,
            Step::RunJob { job } => self.run_last_job(job).await?,
            // The plan in the log says it all.
            Step::SkipJob { .. } => {}
            Step::Stop => self.stop().await?,
            Step::SaveLogs { container, name } => self.save_logs(container, name).await?,
            Step::Archive { id } => self.archive(id, farewell.outcome).await?,
            Step::RemoveContainer { id, .. } => engine.remove(&Resource::Container(id.clone())).await?,
            Step::RemoveNetwork { name } => engine.remove(&Resource::Network(name.clone())).await?,
            Step::RemoveVolume { name } => engine.remove(&Resource::Volume(name.clone())).await?,
            Step::RemoveImage { tag } => self.shop.remove(id, std::slice::from_ref(tag)).await?,
            Step::RemoveFiles => {
                self.house.ports.cgroups.remove(id).await?;
                self.house.ports.vault.clear(id).await?;
                self.house.ports.workspace.remove(id).await?;
            }
            Step::Release => self.release(farewell).await?,
            Step::Build { .. }
            | Step::Pull { .. }
            | Step::CreateNetwork { .. }
            | Step::CreateVolume { .. }
            | Step::WriteBinds
            | Step::Fill { .. }
            | Step::Hold
            | Step::Up { .. }
            | Step::Start
            | Step::Pause
            | Step::Unpause
            | Step::AwaitReady { .. }
            | Step::Publish
            | Step::PruneBinds => return Err(Failure::Failed(format!("no part of ending: {step}"))),
        }
        Ok(())
    }

    async fn save_logs(&self, container: &str, name: &str) -> Result<(), Failure> {
        let sink = self.house.ports.logs.container(self.environment.id, name, container);
        match self.house.ports.engine.logs(container, LogRange::All, &*sink).await {
            // Gone since it was observed, as a carrier is that a killed life left: it has no log any more.
            Err(PortError::NotFound(_)) => Ok(()),
            saved => Ok(saved?),
        }
    }

    async fn withdraw(&self, archive: bool) -> Result<(), Failure> {
        let phase = if archive { Phase::Archiving } else { Phase::Destroying };
        let environment = self
            .change(StateChange {
                phase,
                reason: None,
                serving: Some(false),
                running_commit: None,
                settled: false,
            })
            .await?;
        self.board.show(&environment, None).await;
        self.house.ports.provider.settle().await;
        Ok(())
    }

    async fn release(&self, farewell: Farewell<'_>) -> Result<(), Failure> {
        let store = &self.house.store;
        store.clear_stack(self.environment.id).await?;
        store.set_images(self.environment.id, &[]).await?;
        self.forget_branch().await?;
        self.house.open_up(self.environment.id).await?;
        let Farewell { outcome, archive, reason } = farewell;
        let gone = (outcome == Outcome::Deleted && !archive).then_some(NO_SUCH_BRANCH);
        let phase = if archive { Phase::Archived } else { Phase::Destroyed };
        let environment = self
            .change(StateChange {
                phase,
                reason: reason.or(gone).map(str::to_owned),
                serving: Some(false),
                running_commit: Some(None),
                settled: true,
            })
            .await?;
        self.board.show(&environment, None).await;
        self.house.ports.logs.close(environment.id);
        tracing::info!(environment.slug = %environment.slug, repo = %environment.repo, phase = phase.word(), "the environment is over");
        Ok(())
    }

    async fn forget_branch(&self) -> Result<(), Failure> {
        // The mirror's ref is a convenience; the repository may be gone from the configuration or the disk.
        if let Err(error) =
            self.house.ports.git.forget(&self.environment.repo, &self.environment.branch).await
        {
            tracing::debug!(%error, environment.slug = %self.environment.slug, "the mirror's ref stays");
        }
        Ok(())
    }
}
