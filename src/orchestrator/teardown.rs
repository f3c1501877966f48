//! Ending an environment: from the row and the engine alone; route first, archive before anything is removed.

use crate::domain::environment::{Outcome, Phase};
use crate::domain::plan::Step;
use crate::domain::reconcile::{self, EndFacts};
use crate::ports::{LogRange, Resource};
use crate::store::StateChange;

use super::failure::Failure;
use super::run::Run;

/// How long containers get to stop by themselves, in seconds.
const STOP_TIMEOUT: u32 = 10;

impl Run<'_> {
    /// Until nothing of the environment is left but its row, its history and, where wanted, its archive.
    pub(super) async fn end(&self, outcome: Outcome, archive: bool) -> Result<(), Failure> {
        let phase = if archive { Phase::Archiving } else { Phase::Destroying };
        self.board.release(self.environment.id);
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        let plan = reconcile::end(&observed, &self.end_facts(archive).await?);
        self.note(&plan).await?;
        let environment = self.enter(phase).await?;
        self.board.show(&environment, None).await;
        for planned in &plan.steps {
            self.end_step(&planned.step, outcome, archive).await?;
        }
        Ok(())
    }

    async fn end_facts(&self, archive: bool) -> Result<EndFacts, Failure> {
        let id = self.environment.id;
        let store = &self.house.store;
        let archive = archive.then(|| self.environment.archive_id());
        let archived = match &archive {
            Some(archive) => store.archive(archive).await?.is_some(),
            None => false,
        };
        Ok(EndFacts {
            serving: self.environment.serving,
            archive,
            archived,
            images: store.images_of(id).await?,
            has_files: true,
            is_over: false,
        })
    }

    async fn end_step(&self, step: &Step, outcome: Outcome, archive: bool) -> Result<(), Failure> {
        let engine = &self.house.ports.engine;
        let id = self.environment.id;
        match step {
            Step::Withdraw => self.withdraw(archive).await?,
            Step::Stop => {
                self.house.ports.stacks.stop(&self.environment.project, STOP_TIMEOUT, &*self.log).await?;
            }
            Step::SaveLogs { container, name } => {
                let sink = self.house.ports.logs.container(id, name, container);
                engine.logs(container, LogRange::All, &*sink).await?;
            }
            Step::Archive { id } => self.archive(id, outcome).await?,
            Step::RemoveContainer { id, .. } => engine.remove(&Resource::Container(id.clone())).await?,
            Step::RemoveNetwork { name } => engine.remove(&Resource::Network(name.clone())).await?,
            Step::RemoveVolume { name } => engine.remove(&Resource::Volume(name.clone())).await?,
            Step::RemoveImage { tag } => self.shop.remove(id, std::slice::from_ref(tag)).await?,
            Step::RemoveFiles => self.house.ports.workspace.remove(id).await?,
            Step::Release => self.release(archive).await?,
            Step::Build { .. }
            | Step::Pull { .. }
            | Step::CreateNetwork { .. }
            | Step::CreateVolume { .. }
            | Step::WriteBinds
            | Step::Fill { .. }
            | Step::Hold
            | Step::Up { .. }
            | Step::AwaitReady { .. }
            | Step::Publish
            | Step::PruneBinds => return Err(Failure::Failed(format!("no part of ending: {step}"))),
        }
        Ok(())
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
        Ok(())
    }

    async fn release(&self, archive: bool) -> Result<(), Failure> {
        let store = &self.house.store;
        store.clear_stack(self.environment.id).await?;
        store.set_images(self.environment.id, &[]).await?;
        self.forget_branch().await?;
        let phase = if archive { Phase::Archived } else { Phase::Destroyed };
        let environment = self
            .change(StateChange {
                phase,
                reason: None,
                serving: Some(false),
                running_commit: Some(None),
                settled: true,
            })
            .await?;
        self.board.show(&environment, None).await;
        self.house.ports.logs.close(environment.id);
        tracing::info!(environment.slug = %environment.slug, phase = phase.word(), "over");
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
