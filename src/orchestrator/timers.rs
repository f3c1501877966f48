//! What comes with time: ends that are due, events left behind, archives that are too old.

use std::time::Duration;

use futures_util::future::join_all;

use crate::domain::environment::{Deployment, Intent, Phase};
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::Generation;
use crate::domain::patience;
use crate::store::StoreError;

use super::Orchestrator;

/// How often ends that are due are looked for.
const DUE_EVERY: Duration = Duration::from_secs(1);
/// How often unsettled events are taken up again; longer than folding one ever takes.
const PENDING_EVERY: Duration = Duration::from_secs(15);
/// How often it is looked whether an end that failed is to be tried again; `domain::patience` says when.
const STUCK_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether an environment is to sleep or to expire.
const REST_EVERY: Duration = Duration::from_secs(5);
/// How often archives are looked through for what is too old or too much.
const RETAIN_EVERY: Duration = Duration::from_secs(60 * 60);

/// How often the walls are put up anew: whoever loads the machine's own firewall may sweep them away.
const WALLS_EVERY: Duration = Duration::from_secs(30);

impl Orchestrator {
    pub(super) fn spawn_timers(&self) {
        let this = self.clone();
        self.house.supervisor.spawn("due", async move {
            this.every(DUE_EVERY, |orchestrator| async move { orchestrator.submit_what_is_due().await })
                .await;
        });
        let this = self.clone();
        self.house.supervisor.spawn("pending", async move {
            this.every(PENDING_EVERY, |orchestrator| async move { orchestrator.take_up_pending().await })
                .await;
        });
        let this = self.clone();
        self.house.supervisor.spawn("places", async move { this.keep_places().await });
        let this = self.clone();
        self.house.supervisor.spawn("rest", async move {
            this.every(REST_EVERY, |orchestrator| async move { orchestrator.rest_if_sure().await }).await;
        });
        let this = self.clone();
        self.house.supervisor.spawn("stuck", async move {
            // At the start at once: somebody may have restarted drey because the way is free now.
            if let Err(error) = this.try_ends_again(|_, _| true).await {
                tracing::error!(%error, "the database does not answer");
            }
            this.every(STUCK_EVERY, |orchestrator| async move {
                let now = orchestrator.house.ports.clock.now();
                let is_due = |history: &[Deployment], run| patience::is_due(history, run, now);
                orchestrator.try_ends_again(is_due).await
            })
            .await;
        });
        let this = self.clone();
        self.house.supervisor.spawn("retention", async move {
            this.every(RETAIN_EVERY, |orchestrator| async move { orchestrator.retain().await }).await;
        });
        self.spawn_collecting();
        let this = self.clone();
        self.house.supervisor.spawn("walls", async move {
            this.every(WALLS_EVERY, |orchestrator| async move { orchestrator.house.renew_walls().await })
                .await;
        });
        let this = self.clone();
        self.house.supervisor.spawn("waiting", async move { this.follow_ends().await });
        self.house.supervisor.spawn("reports", self.clone().keep_reports());
        self.house.supervisor.spawn("reports sent", self.clone().send_reports());
        self.house.supervisor.spawn("polls", self.clone().poll_remotes());
        self.spawn_watching();
    }

    async fn every<F, W>(&self, pause: Duration, work: W)
    where
        W: Fn(Self) -> F,
        F: Future<Output = Result<(), StoreError>>,
    {
        let draining = self.house.supervisor.draining();
        loop {
            if let Err(error) = work(self.clone()).await {
                self.house.room.complain(&error);
            }
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn submit_what_is_due(&self) -> Result<(), StoreError> {
        let Some(now) = self.steadiness.look(&*self.house.ports.clock) else { return Ok(()) };
        for environment in self.house.store.due_endings(now).await? {
            self.submit_due(&environment).await?;
        }
        Ok(())
    }

    async fn rest_if_sure(&self) -> Result<(), StoreError> {
        match self.steadiness.look(&*self.house.ports.clock) {
            Some(now) => self.submit_rest(now).await,
            None => self.write_visits().await,
        }
    }

    /// Nothing is removed before it is archived, so an end has to get through.
    async fn try_ends_again(
        &self,
        is_due: impl Fn(&[Deployment], Generation) -> bool,
    ) -> Result<(), StoreError> {
        for environment in self.house.store.environments(false).await? {
            if let Intent::End { archive, .. } = environment.intent
                && environment.phase == Phase::Failed
                && !environment.has_work()
                && is_due(&self.house.store.deployments(environment.id).await?, environment.run_generation)
            {
                let kind = EventKind::EndRequested { branch: environment.branch, archive };
                let (source, repo) = (EventSource::Timer, environment.repo);
                self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn take_up_pending(&self) -> Result<(), StoreError> {
        let pending = self.house.store.pending_events().await?;
        // All at once: one commit takes many.
        let taken = pending.iter().map(|event| self.take(event.id));
        join_all(taken).await.into_iter().collect()
    }
}
