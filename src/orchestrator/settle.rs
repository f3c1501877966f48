//! What a run came to: written down once, and what follows from it.

use tokio_util::sync::CancellationToken;

use crate::domain::environment::{DeploymentState, Intent, Phase};
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::patience;
use crate::domain::trouble::DEGRADED;
use crate::store::{StateChange, StoreError};

use super::failure::Failure;
use super::outside;
use super::run::{Next, Run};

/// How a run ended, as it is written down.
struct End {
    state: DeploymentState,
    reason: Option<String>,
    /// The phase in which the environment comes to rest; none where the run itself wrote it, or it goes on.
    phase: Option<Phase>,
    next: Next,
}

impl Run<'_> {
    pub(super) async fn conclude(
        &self,
        result: Result<(), Failure>,
        newer: &CancellationToken,
    ) -> Result<Next, Failure> {
        let came_up = result.is_ok() && self.environment.intent.runs();
        if !matches!(result, Err(Failure::Superseded)) {
            self.discard_checkout().await;
        }
        let next = self.settle(result).await?;
        let is_ready = came_up && self.settle_ready().await?;
        self.failpoint("settled");
        if is_ready && let Err(failure) = self.watch_over(newer).await {
            tracing::debug!(%failure, environment.slug = %self.environment.slug, "the start is not watched any more");
        }
        Ok(next)
    }

    /// Whatever ran before: what a run left that was given up, the next fresh checkout removes, or the next rest.
    async fn discard_checkout(&self) {
        if matches!(self.environment.intent, Intent::End { .. }) {
            return;
        }
        if let Err(error) = self.house.ports.workspace.discard_checkout(self.environment.id).await {
            self.say(format!("the checkout stays for now: {error}"));
        }
        self.failpoint("checkout_discarded");
    }

    /// It is ready since it was published, and at rest only now: whoever is killed in between comes by here again.
    /// Says whether it was: a run may come to a good end without anything to publish.
    async fn settle_ready(&self) -> Result<bool, Failure> {
        let row = self.house.store.environment(self.environment.id).await?;
        let Some(row) = row.filter(|row| row.phase == Phase::Ready && row.has_work()) else {
            return Ok(false);
        };
        // What was told when it was published stays told.
        let change = StateChange { settled: true, reason: row.reason, ..StateChange::to(Phase::Ready) };
        match self.change(change).await {
            Ok(_) | Err(Failure::Superseded) => {}
            Err(failure) => return Err(failure),
        }
        self.board.tell(self.environment.id);
        Ok(true)
    }

    /// How often this generation was tried in vain.
    pub(super) async fn tries(&self) -> Result<u32, StoreError> {
        let history = self.house.store.deployments(self.environment.id).await?;
        Ok(patience::tries(&history, self.environment.generation))
    }

    async fn settle(&self, result: Result<(), Failure>) -> Result<Next, Failure> {
        let is_gone = matches!(result, Err(Failure::Gone));
        // After a breach nothing is left around which the rest could go on.
        let is_repair =
            self.environment.intent == Intent::Repair && !matches!(result, Err(Failure::Breach(_)));
        let mut end = self.end_of(result).await?;
        end.reason = end.reason.map(|reason| self.house.ports.redactor.text(&reason).into_owned());
        let is_blocked = end.phase == Some(Phase::Blocked);
        self.tell_end(if is_blocked { "blocked" } else { end.state.word() }, end.reason.as_deref());
        self.say(end.reason.clone().unwrap_or_else(|| end.state.word().to_owned()));
        let now = self.house.ports.clock.now();
        self.house.store.finish_deployment(self.deployment, end.state, end.reason.as_deref(), now).await?;
        let settled = end.phase.is_some();
        if end.reason.is_none() {
            return Ok(end.next);
        }
        if settled
            && self.environment.intent.runs()
            && self.environment.running_commit.is_none()
            && let Err(failure) = self.clear().await
        {
            self.say(format!("what was started could not be removed yet: {failure}"));
        }
        if settled
            && self.environment.intent.runs()
            && !is_repair
            && let Err(failure) = self.stop_unseen().await
        {
            self.say(format!("what nobody can see could not be stopped: {failure}"));
        }
        self.board.release(self.environment.id);
        let reason = self.with_next_try(end.reason, settled && is_repair).await?;
        // Around a repair that failed the rest goes on; who watches the engine comes again, with pauses.
        let phase = end.phase.map(|phase| if is_repair { Phase::Ready } else { phase });
        let phase = phase.unwrap_or_else(|| self.waiting_phase());
        let change = StateChange { phase, reason, serving: None, running_commit: None, settled };
        match self.change(change).await {
            Ok(environment) => self.board.refresh(&environment).await,
            Err(Failure::Superseded) => return Ok(Next::Rest),
            Err(failure) => return Err(failure),
        }
        if is_gone {
            self.ask_for_a_look().await?;
        }
        Ok(end.next)
    }

    async fn end_of(&self, result: Result<(), Failure>) -> Result<End, Failure> {
        let rests = |state, reason, phase| End { state, reason, phase, next: Next::Rest };
        Ok(match result {
            // The run itself wrote its last phase.
            Ok(()) => rests(DeploymentState::Succeeded, None, None),
            Err(Failure::Superseded) => rests(DeploymentState::Superseded, None, None),
            Err(Failure::Blocked(reason)) => {
                rests(DeploymentState::Failed, Some(reason), Some(Phase::Blocked))
            }
            Err(Failure::Transient(reason)) if !self.environment.intent.ends() => {
                self.deferred(reason).await?
            }
            Err(Failure::NoRoom(reason)) if !self.environment.intent.ends() => {
                let next = Next::Again(patience::pause(1));
                End { state: DeploymentState::Deferred, reason: Some(reason), phase: None, next }
            }
            Err(failure) => rests(DeploymentState::Failed, Some(failure.to_string()), Some(Phase::Failed)),
        })
    }

    /// The outside was away, and then this counts for nothing; or it was not, and then only so many tries do.
    async fn deferred(&self, reason: String) -> Result<End, Failure> {
        if let Some(away) = outside::away(self.house, &self.environment).await {
            let reason = Some(format!("{away}; it goes on by itself when that is back"));
            let next = Next::Again(patience::pause(1));
            return Ok(End { state: DeploymentState::Deferred, reason, phase: None, next });
        }
        let tries = self.tries().await? + 1;
        if tries >= patience::MOST_TRIES {
            let name = self.environment.name();
            let reason = Some(format!(
                "{reason}\n\ngiven up after {tries} tries; a push or `drey env deploy {name}` begins anew"
            ));
            let (state, phase) = (DeploymentState::Failed, Some(Phase::Failed));
            return Ok(End { state, reason, phase, next: Next::Rest });
        }
        let pause = patience::pause(tries);
        let most = patience::MOST_TRIES;
        let reason = Some(format!(
            "{reason}; tried again in about {} s (try {tries} of {most} failed)",
            pause.as_secs()
        ));
        Ok(End { state: DeploymentState::Failed, reason, phase: None, next: Next::Again(pause) })
    }

    /// The phase between two tries.
    fn waiting_phase(&self) -> Phase {
        match self.environment.intent {
            Intent::End { .. } => self.environment.phase,
            // Its route may be gone already.
            Intent::Sleep { .. } => Phase::Asleep,
            Intent::Run { .. } | Intent::Wake | Intent::Repair if self.environment.serving => Phase::Updating,
            Intent::Run { .. } => Phase::Queued,
            Intent::Wake | Intent::Repair => Phase::Waking,
        }
    }

    /// What becomes of a repair or an end that failed.
    async fn with_next_try(
        &self,
        reason: Option<String>,
        repair_failed: bool,
    ) -> Result<Option<String>, Failure> {
        if repair_failed {
            return Ok(reason.map(|reason| format!("{DEGRADED}it cannot be put right: {reason}")));
        }
        let (Some(reason), Intent::End { .. }) = (&reason, &self.environment.intent) else {
            return Ok(reason);
        };
        let history = self.house.store.deployments(self.environment.id).await?;
        let pause = patience::pause(patience::failures(&history, self.environment.run_generation));
        // The last lines of a job stand for themselves.
        let joint = if reason.contains('\n') { "\n\n" } else { "; " };
        let seconds = pause.as_secs();
        Ok(Some(format!("{reason}{joint}the environment stays, and its end is tried again in {seconds} s")))
    }

    /// The branch vanished between the push and the fetch: a deletion whose message was lost or is on its way.
    async fn ask_for_a_look(&self) -> Result<(), Failure> {
        let look = NewEvent {
            source: EventSource::Timer,
            repo: self.environment.repo.clone(),
            kind: EventKind::Look,
            delivery_id: None,
            skip: false,
        };
        self.house.store.accept(None, &[look], self.house.ports.clock.now()).await?;
        Ok(())
    }
}
