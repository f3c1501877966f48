//! What is done about what was seen on the engine: routes follow, what is broken is repaired, what cannot be is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::drift;
use crate::domain::environment::{Environment, Intent};
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::{EnvironmentId, Generation, ProjectName};
use crate::domain::observed::{Glance, Observed};
use crate::domain::trouble::{CALM, DEGRADED, Memory, Trouble, Verdict};
use crate::ports::LogRange;
use crate::store::StoreError;

use super::Orchestrator;
use super::start::Collector;

/// How often it is looked whether a repair has come to its end.
const WHILE_REPAIRED: Duration = Duration::from_secs(15);
/// Log lines of a service that keeps crashing that are told.
const LAST_LINES: usize = 10;

/// Looks at what changed, and remembers what it saw.
pub(super) struct Watcher {
    orchestrator: Orchestrator,
    /// What was there when all was listed last.
    last: Glance,
    known: BTreeMap<EnvironmentId, Known>,
    /// What is to be looked at again, and when.
    due: BTreeMap<ProjectName, Instant>,
    /// Moments of the domain count from here.
    began: Instant,
}

#[derive(Default)]
struct Known {
    /// The newest wish to run that the rest is about.
    run: Option<Generation>,
    memory: Memory,
    told: Option<Trouble>,
}

impl Watcher {
    pub(super) fn new(orchestrator: Orchestrator) -> Self {
        let (last, known, due) = (Glance::default(), BTreeMap::new(), BTreeMap::new());
        Self { orchestrator, last, known, due, began: Instant::now() }
    }

    /// When something has to be looked at that nobody will tell of.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Lists all and looks closely at what changed since the last time, or at everything. Says whether the engine answers.
    pub(super) async fn list(&mut self, everything: bool) -> bool {
        let began = Instant::now();
        let Some((glance, is_back)) = self.glance().await else { return false };
        match self.look_at_changed(glance, everything || is_back).await {
            Ok(looked) => {
                let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::debug!(duration_ms, looked, "all is listed");
            }
            Err(error) => tracing::error!(%error, "the database does not answer"),
        }
        true
    }

    /// What is there, and whether the engine was away before; none while it is.
    async fn glance(&self) -> Option<(Glance, bool)> {
        let house = &self.orchestrator.house;
        match house.ports.watch.glance().await {
            Ok(glance) => {
                let is_back = house.absence.end();
                if is_back {
                    tracing::info!("the engine is back: everything is looked at");
                }
                Some((glance, is_back))
            }
            Err(error) => {
                if house.absence.begin(error.to_string()) {
                    tracing::warn!(%error, "the engine is away: what runs is routed as it was");
                }
                None
            }
        }
    }

    /// How many were looked at.
    async fn look_at_changed(&mut self, glance: Glance, everything: bool) -> Result<usize, StoreError> {
        let live = self.orchestrator.house.store.environments(false).await?;
        self.forget_all_but(&live);
        let is_new = |it: &Environment| everything || !glance.is_as_in(&self.last, &it.project);
        let changed: Vec<Environment> = live.into_iter().filter(is_new).collect();
        for environment in &changed {
            self.examine(environment).await;
        }
        self.last = glance;
        Ok(changed.len())
    }

    /// Looks closely at these, and at what is due.
    pub(super) async fn look(&mut self, told: Vec<ProjectName>) {
        let now = Instant::now();
        let due = self.due.iter().filter(|(_, at)| **at <= now).map(|(project, _)| project.clone());
        let wanted: BTreeSet<ProjectName> = due.chain(told).collect();
        if wanted.is_empty() {
            return;
        }
        self.due.retain(|project, _| !wanted.contains(project));
        match self.orchestrator.house.store.environments(false).await {
            Ok(live) => {
                for environment in live.iter().filter(|it| wanted.contains(&it.project)) {
                    self.examine(environment).await;
                }
            }
            Err(error) => tracing::error!(%error, "the database does not answer"),
        }
    }

    async fn examine(&mut self, environment: &Environment) {
        if !environment.serving {
            self.due.remove(&environment.project);
            return;
        }
        let Some(observed) = self.orchestrator.board.examine(environment).await else { return };
        if let Err(error) = self.judge(environment.id, &observed).await {
            tracing::error!(%error, environment.slug = %environment.slug, "it cannot be judged");
        }
    }

    async fn judge(&mut self, id: EnvironmentId, observed: &Observed) -> Result<(), StoreError> {
        let store = self.orchestrator.house.store.clone();
        let now = self.began.elapsed();
        let Some(environment) = store.environment(id).await? else { return Ok(()) };
        let known = self.known.entry(id).or_default();
        if known.run.replace(environment.run_generation) != Some(environment.run_generation) {
            known.memory.forget();
            known.told = None;
        }
        if !drift::concerns(&environment) {
            known.memory.busy(now);
            if environment.has_work() && environment.intent == Intent::Repair {
                self.look_again(&environment, now + WHILE_REPAIRED);
            }
            return Ok(());
        }
        let Some(applied) = store.stack(id).await? else { return Ok(()) };
        match known.memory.judge(&applied.stack, observed, now) {
            Verdict::Whole { since } => self.whole(&environment, observed, since).await,
            Verdict::Repair { why } => {
                self.look_again(&environment, now + WHILE_REPAIRED);
                self.repair(&environment, &why).await
            }
            Verdict::Broken { look_again, told } => {
                self.look_again(&environment, look_again);
                match told {
                    Some(trouble) => self.tell(&environment, observed, trouble).await,
                    None => Ok(()),
                }
            }
            Verdict::Crashing { look_again, told } => {
                self.look_again(&environment, look_again);
                self.tell(&environment, observed, told).await
            }
        }
    }

    /// What was told of trouble is taken back once all has been whole for a while.
    async fn whole(
        &mut self,
        environment: &Environment,
        observed: &Observed,
        since: Duration,
    ) -> Result<(), StoreError> {
        let reason = environment.reason.as_deref();
        if !reason.is_some_and(|reason| reason.starts_with(DEGRADED)) {
            return Ok(());
        }
        // What this life told is known to be over; what another one did has to prove it.
        let told = &mut self.known.entry(environment.id).or_default().told;
        let calm = since + CALM;
        if told.take().is_none() && self.began.elapsed() < calm {
            self.look_again(environment, calm);
            return Ok(());
        }
        tracing::info!(environment.slug = %environment.slug, "all of it runs again");
        self.write(environment, observed, None).await
    }

    async fn repair(&self, environment: &Environment, why: &str) -> Result<(), StoreError> {
        tracing::warn!(environment.slug = %environment.slug, why, "touched from outside: it is put right");
        let kind = EventKind::Drifted { branch: environment.branch.clone() };
        let (source, repo) = (EventSource::Engine, environment.repo.clone());
        let drifted = NewEvent { source, repo, kind, delivery_id: None, skip: false };
        self.orchestrator.submit(None, &[drifted]).await.map(drop)
    }

    async fn tell(
        &mut self,
        environment: &Environment,
        observed: &Observed,
        trouble: Trouble,
    ) -> Result<(), StoreError> {
        let told = &mut self.known.entry(environment.id).or_default().told;
        if !trouble.is_news(told.as_ref()) {
            return Ok(());
        }
        let is_first = told.replace(trouble.clone()).is_none();
        let reason = environment.reason.as_deref();
        if is_first && reason.is_some_and(|reason| reason.starts_with(DEGRADED)) {
            // A repair that failed, or a former life, said it better.
            return Ok(());
        }
        let text = trouble.text();
        tracing::warn!(environment.slug = %environment.slug, trouble = text, "degraded");
        let lines = self.last_lines(&trouble).await;
        let reason = match lines.as_slice() {
            [] => format!("{DEGRADED}{text}"),
            [_, ..] => format!("{DEGRADED}{text}; its last lines:\n\n{}", lines.join("\n")),
        };
        self.write(environment, observed, Some(&reason)).await
    }

    async fn last_lines(&self, trouble: &Trouble) -> Vec<String> {
        let Some(container) = &trouble.container else { return Vec::new() };
        let lines = Collector::default();
        let engine = &self.orchestrator.house.ports.engine;
        match engine.logs(container, LogRange::Last(LAST_LINES), &lines).await {
            Ok(()) => lines.take(),
            Err(_gone) => Vec::new(),
        }
    }

    async fn write(
        &self,
        environment: &Environment,
        observed: &Observed,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let house = &self.orchestrator.house;
        let now = house.ports.clock.now();
        let reason = reason.map(|reason| house.ports.redactor.text(reason));
        if let Some(written) = house.store.tell(environment, reason.as_deref(), now).await? {
            self.orchestrator.board.show(&written, Some(observed)).await;
        }
        Ok(())
    }

    fn look_again(&mut self, environment: &Environment, at: Duration) {
        self.due.insert(environment.project.clone(), self.began + at);
    }

    fn forget_all_but(&mut self, live: &[Environment]) {
        let ids: BTreeSet<EnvironmentId> = live.iter().map(|environment| environment.id).collect();
        self.known.retain(|id, _| ids.contains(id));
        let projects: BTreeSet<&ProjectName> = live.iter().map(|environment| &environment.project).collect();
        self.due.retain(|project, _| projects.contains(project));
    }
}
