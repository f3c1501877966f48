//! One run of an environment's newest intent, from the row to a settled generation.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::environment::{Environment, Intent, Phase};
use crate::domain::names::EnvironmentId;
use crate::domain::patience;
use crate::domain::plan::Plan;
use crate::ports::{LogLine, LogSink};
use crate::store::{StateChange, StoreError};

use super::board::Board;
use super::failure::Failure;
use super::farewell::Farewell;
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
    pub(super) begun: tokio::time::Instant,
    pub(super) log: Arc<dyn LogSink>,
    /// Held while a job runs.
    pub(super) job: tokio::sync::Mutex<()>,
}

/// What a worker does after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is nothing left to do for this generation.
    Rest,
    /// The same once more after a pause, as soon as what it needs from outside is there.
    Again(Duration),
}

/// Brings the environment to its newest intent, or says why not. Cancelling `newer` gives the run up, unless it
/// tears down: that is never cut, nor is a job that runs.
pub(super) async fn one_generation(
    house: &Arc<House>,
    board: &Arc<Board>,
    shop: &Arc<ImageShop>,
    id: EnvironmentId,
    newer: &CancellationToken,
) -> Next {
    let run = match begin(house, board, shop, id).await {
        Ok(Some(run)) => run,
        Ok(None) => return Next::Rest,
        Err(error) => {
            house.room.complain(&error);
            return Next::Again(patience::pause(1));
        }
    };
    let result = run.work(newer).await;
    match run.conclude(result, newer).await {
        Ok(next) => next,
        Err(error) => {
            tracing::error!(%error, environment.id = id.0, "the end of a run cannot be written down");
            Next::Again(patience::pause(1))
        }
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
        repo = %environment.repo,
        intent = environment.intent.word(),
        "a run begins"
    );
    let (settings, job, begun) =
        (house.settings(), tokio::sync::Mutex::default(), tokio::time::Instant::now());
    Ok(Some(Run { house, board, shop, settings, environment, deployment, begun, log, job }))
}

impl Run<'_> {
    async fn work(&self, newer: &CancellationToken) -> Result<(), Failure> {
        if self.tries().await? >= patience::MOST_TRIES && !self.environment.intent.ends() {
            let reason = "the daemon died over it, or broke down, each time".to_owned();
            return Err(Failure::Transient(reason));
        }
        match self.environment.intent.clone() {
            Intent::Run { .. } | Intent::Wake | Intent::Repair => tokio::select! {
                biased;
                () = self.given_up(newer) => Err(Failure::Superseded),
                result = self.with_retries(|| self.bring_up()) => result,
            },
            // Not cut: the engine would go on stopping what a newer run takes for running.
            Intent::Sleep { why, gives_way } => {
                let go_on = async || match newer.is_cancelled() {
                    true => Err(Failure::Superseded),
                    false => self.sleep(&why, gives_way).await,
                };
                self.with_retries(go_on).await
            }
            Intent::End { outcome, archive } => {
                let farewell = Farewell { outcome, archive, reason: None };
                self.with_retries(|| self.end(farewell)).await
            }
        }
    }

    async fn bring_up(&self) -> Result<(), Failure> {
        match self.environment.intent {
            Intent::Run { rebuild, pull, .. } => self.deploy(rebuild, pull).await,
            Intent::Wake | Intent::Repair | Intent::Sleep { .. } | Intent::End { .. } => self.resume().await,
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

    pub(super) async fn change(&self, mut change: StateChange) -> Result<Environment, Failure> {
        change.reason = change.reason.map(|reason| self.house.ports.redactor.text(&reason).into_owned());
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
                // Not settled: the next start takes it up.
                Err(Failure::Transient(_)) if self.house.supervisor.is_ending() => {
                    return Err(Failure::Superseded);
                }
                Err(Failure::Transient(reason)) => {
                    self.say(format!("{reason}; trying again in {} s", pause.as_secs()));
                    tokio::time::sleep(pause).await;
                }
                result => return result,
            }
        }
        work().await
    }
}
