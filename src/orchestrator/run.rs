//! One run of an environment's newest intent, from the row to a settled generation.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::environment::{DeploymentState, Environment, Intent, Phase};
use crate::domain::event::{EventKind, EventSource};
use crate::domain::names::EnvironmentId;
use crate::domain::patience;
use crate::domain::plan::Plan;
use crate::domain::trouble::DEGRADED;
use crate::ports::{LogLine, LogSink};
use crate::store::{StateChange, StoreError};

use super::board::Board;
use super::failure::Failure;
use super::house::{House, Settings};
use super::images::ImageShop;

/// Pauses between tries when the outside is away.
const RETRY_AFTER: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];

/// What a run of a plan works with.
pub(super) struct Run<'a> {
    pub(super) house: &'a Arc<House>,
    pub(super) board: &'a Arc<Board>,
    pub(super) shop: &'a Arc<ImageShop>,
    /// As they were when the run began.
    pub(super) settings: Arc<Settings>,
    /// The row as it was when the run began.
    pub(super) environment: Environment,
    pub(super) deployment: i64,
    pub(super) log: Arc<dyn LogSink>,
    /// Held while a job runs.
    pub(super) job: tokio::sync::Mutex<()>,
}

/// Brings the environment to its newest intent, or says why not. Cancelling `newer` gives the run up, unless it
/// tears down: that is never cut, nor is a job that runs.
pub(super) async fn one_generation(
    house: &Arc<House>,
    board: &Arc<Board>,
    shop: &Arc<ImageShop>,
    id: EnvironmentId,
    newer: &CancellationToken,
) {
    let begun = begin(house, board, shop, id).await;
    let run = match begun {
        Ok(Some(run)) => run,
        Ok(None) => return,
        Err(error) => {
            tracing::error!(%error, environment.id = id.0, "the environment cannot be read");
            return;
        }
    };
    let result = match run.environment.intent.clone() {
        Intent::Run { .. } | Intent::Wake | Intent::Repair => tokio::select! {
            biased;
            () = run.given_up(newer) => Err(Failure::Superseded),
            result = run.with_retries(|| run.bring_up()) => result,
        },
        Intent::Sleep { why } => tokio::select! {
            biased;
            () = newer.cancelled() => Err(Failure::Superseded),
            result = run.with_retries(|| run.sleep(&why)) => result,
        },
        Intent::End { outcome, archive } => run.with_retries(|| run.end(outcome, archive)).await,
    };
    if let Err(error) = run.conclude(result, newer).await {
        tracing::error!(%error, environment.id = id.0, "the end of a run cannot be written down");
    }
}

async fn begin<'a>(
    house: &'a Arc<House>,
    board: &'a Arc<Board>,
    shop: &'a Arc<ImageShop>,
    id: EnvironmentId,
) -> Result<Option<Run<'a>>, StoreError> {
    let Some(environment) = house.store.environment(id).await?.filter(Environment::has_work) else {
        return Ok(None);
    };
    let now = house.ports.clock.now();
    let commit = environment.commit.as_ref();
    let deployment = house.store.start_deployment(id, environment.generation, commit, now).await?.id;
    let log = house.ports.logs.deployment(id, deployment);
    tracing::info!(
        environment.slug = %environment.slug,
        environment.generation = environment.generation.0,
        "a run begins"
    );
    let (settings, job) = (house.settings(), tokio::sync::Mutex::default());
    Ok(Some(Run { house, board, shop, settings, environment, deployment, log, job }))
}

impl Run<'_> {
    async fn conclude(&self, result: Result<(), Failure>, newer: &CancellationToken) -> Result<(), Failure> {
        let is_ready = result.is_ok() && self.environment.intent.runs();
        self.settle(result).await?;
        if is_ready && let Err(failure) = self.watch_over(newer).await {
            tracing::debug!(%failure, environment.slug = %self.environment.slug, "the start is not watched any more");
        }
        Ok(())
    }

    async fn bring_up(&self) -> Result<(), Failure> {
        match self.environment.intent {
            Intent::Run { rebuild, pull, .. } => self.deploy(rebuild, pull).await,
            _ => self.resume().await,
        }
    }

    /// Tells the log what drey does.
    pub(super) fn say(&self, text: impl Into<String>) {
        self.log.line(LogLine { source: "drey".into(), text: text.into() });
    }

    /// Writes a plan down before it is carried out.
    pub(super) async fn note(&self, plan: &Plan) -> Result<(), Failure> {
        let text = plan.to_string();
        for line in text.lines() {
            self.say(line);
        }
        Ok(self.house.store.append_plan(self.deployment, &text).await?)
    }

    /// Changes the phase while the run goes on; [`Failure::Superseded`] when the generation is not the newest.
    pub(super) async fn enter(&self, phase: Phase) -> Result<Environment, Failure> {
        let change = StateChange { phase, reason: None, serving: None, running_commit: None, settled: false };
        self.change(change).await
    }

    pub(super) async fn change(&self, change: StateChange) -> Result<Environment, Failure> {
        let (id, generation) = (self.environment.id, self.environment.generation);
        let now = self.house.ports.clock.now();
        let changed = self.house.store.update_state(id, generation, &change, now).await?;
        changed.ok_or(Failure::Superseded)
    }

    async fn with_retries<F, W>(&self, work: W) -> Result<(), Failure>
    where
        W: Fn() -> F,
        F: Future<Output = Result<(), Failure>>,
    {
        for pause in RETRY_AFTER {
            match work().await {
                Err(Failure::Transient(reason)) => {
                    self.say(format!("{reason}; trying again in {} s", pause.as_secs()));
                    tokio::time::sleep(pause).await;
                }
                result => return result,
            }
        }
        work().await
    }

    async fn settle(&self, result: Result<(), Failure>) -> Result<(), Failure> {
        let now = self.house.ports.clock.now();
        let store = &self.house.store;
        let (state, reason) = match &result {
            Ok(()) => (DeploymentState::Succeeded, None),
            Err(Failure::Superseded) => (DeploymentState::Superseded, None),
            Err(failure) => (DeploymentState::Failed, Some(failure.to_string())),
        };
        self.say(reason.clone().unwrap_or_else(|| state.word().to_owned()));
        store.finish_deployment(self.deployment, state, reason.as_deref(), now).await?;
        let phase = match &result {
            // The run itself wrote its last phase.
            Ok(()) | Err(Failure::Superseded) => return Ok(()),
            // What else runs goes on; who watches the engine comes again, with pauses.
            Err(_) if self.environment.intent == Intent::Repair => Phase::Ready,
            Err(Failure::Blocked(_)) => Phase::Blocked,
            Err(Failure::Failed(_) | Failure::Job(_) | Failure::Transient(_) | Failure::Gone) => {
                Phase::Failed
            }
        };
        if matches!(self.environment.intent, Intent::Run { .. })
            && self.environment.running_commit.is_none()
            && let Err(failure) = self.clear().await
        {
            self.say(format!("what was started could not be removed yet: {failure}"));
        }
        self.board.release(self.environment.id);
        let reason = self.with_next_try(reason).await?;
        let change = StateChange { phase, reason, serving: None, running_commit: None, settled: true };
        match self.change(change).await {
            Ok(environment) => self.board.refresh(&environment).await,
            Err(Failure::Superseded) => return Ok(()),
            Err(failure) => return Err(failure),
        }
        if matches!(result, Err(Failure::Gone)) {
            self.ask_for_a_look().await?;
        }
        Ok(())
    }

    /// What becomes of a repair or an end that failed.
    async fn with_next_try(&self, reason: Option<String>) -> Result<Option<String>, Failure> {
        if self.environment.intent == Intent::Repair {
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
        let look = crate::domain::event::NewEvent {
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
