//! From `up` to ready: watching the containers, asking the primary, finding the culprit.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::drift;
use crate::domain::environment::{Intent, Phase};
use crate::domain::names::CommitSha;
use crate::domain::observed::Observed;
use crate::domain::readiness::{self, Readiness};
use crate::domain::route::Upstream;
use crate::domain::stack::{RouteSpec, Stack};
use crate::ports::{LogLine, LogRange, LogSink, ProbeUrl};
use crate::store::{StateChange, StoredRoute};

use super::failure::Failure;
use super::run::Run;

/// When a stack that is ready is looked at again.
const WATCH_PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_millis(1500), Duration::from_millis(2500)];
/// Most log lines of the culprit that go into the reason.
const CULPRIT_LINES: usize = 100;
/// How long the first probe may take; each later one gets as much more, for what is slow and not dead.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Waits until the stack is ready by the rules of `domain::readiness` and its primary answers, then publishes.
    pub(super) async fn await_ready(
        &self,
        stack: &Stack,
        commit: &CommitSha,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let (mut attempt, mut probes) = (0, 0);
        loop {
            let observed = self.house.ports.engine.observe(&self.environment.project).await?;
            let waiting = match readiness::judge(stack, &observed) {
                Readiness::Failed { service, reason, .. } => {
                    return Err(Failure::Failed(format!("{service}: {reason}")));
                }
                Readiness::Pending { waiting } => waiting.join("; "),
                Readiness::Ready => {
                    match self.ask_primary(stack, &observed, probe_limit(probes, deadline)).await {
                        Ok(()) => return self.publish(stack, commit, &observed).await,
                        Err(reason) => {
                            probes += 1;
                            reason
                        }
                    }
                }
            };
            if Instant::now() >= deadline {
                return Err(Failure::Failed(format!(
                    "not ready within {} s (`drey.ready.within`): {waiting}",
                    stack.readiness.within_seconds
                )));
            }
            tokio::time::sleep(readiness::probe_delay(attempt)).await;
            attempt += 1;
        }
    }

    pub(super) async fn ask_primary(
        &self,
        stack: &Stack,
        observed: &Observed,
        limit: Duration,
    ) -> Result<(), String> {
        let Some(primary) = stack.routes.first() else { return Ok(()) };
        let Some(upstream) = self.house.equipped(&self.environment, primary, observed).await? else {
            return Err(format!("{} has no address in {}", primary.service, primary.network));
        };
        let answer = self.probe(&upstream, &stack.readiness.path, limit).await;
        let what = format!("{} on port {}", primary.service, primary.port);
        match answer {
            Ok(status) if readiness::probe_passes(primary.scheme, status) => Ok(()),
            Ok(Some(status)) => Err(format!("{what} answers {} with status {status}", stack.readiness.path)),
            Ok(None) => Err(format!("{what} does not speak HTTP")),
            Err(reason) => Err(format!(
                "{what} does not answer: {reason} (is it the right port? `drey.port` names another; does it listen \
                 on all addresses, not only on 127.0.0.1?)"
            )),
        }
    }

    async fn probe(&self, upstream: &Upstream, path: &str, limit: Duration) -> Result<Option<u16>, String> {
        let address = &self.settings.address;
        let url = ProbeUrl {
            host: address.authority(&address.primary_host(&self.environment.slug)),
            proto: address.proto.clone(),
            path: path.to_owned(),
        };
        self.house.ports.prober.probe(upstream, &url, limit).await.map_err(|error| error.to_string())
    }

    /// Looks again for a few seconds after the stack was said to be ready: what exits at once was seen running. Ends
    /// early when something newer is wanted.
    pub(super) async fn watch_over(&self, newer: &CancellationToken) -> Result<(), Failure> {
        if self.environment.intent == Intent::Repair {
            // Of what ran before it is told how often it ends; it is not taken back.
            return Ok(());
        }
        let Some(applied) = self.house.store.stack(self.environment.id).await? else { return Ok(()) };
        let draining = self.house.supervisor.draining();
        let before = self.house.ports.engine.observe(&self.environment.project).await?;
        for pause in WATCH_PAUSES {
            tokio::select! {
                () = newer.cancelled() => return Ok(()),
                () = draining.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            let observed = self.house.ports.engine.observe(&self.environment.project).await?;
            if let Some((service, why)) = readiness::crashed(&applied.stack, &before, &observed) {
                let failure = Failure::Failed(format!("{service}: {why}, just after it was ready"));
                return self.take_back(failure, &applied.stack, &observed).await;
            }
        }
        Ok(())
    }

    async fn take_back(&self, failure: Failure, stack: &Stack, observed: &Observed) -> Result<(), Failure> {
        let failure = self.with_culprit(failure, stack, observed).await;
        self.say(failure.to_string());
        let environment = self
            .change(StateChange {
                phase: Phase::Failed,
                reason: Some(failure.to_string()),
                serving: Some(self.still_serving(stack, observed)),
                running_commit: None,
                settled: true,
            })
            .await?;
        self.board.refresh(&environment).await;
        self.stop_unseen().await
    }

    async fn publish(&self, stack: &Stack, commit: &CommitSha, observed: &Observed) -> Result<(), Failure> {
        self.failpoint("seen_ready");
        self.remember(stack).await?;
        self.failpoint("remembered");
        let reason = self.loss(stack).await?.or(self.why_behind(commit).await?);
        let environment = self
            .change(StateChange {
                phase: Phase::Ready,
                reason,
                serving: Some(true),
                running_commit: Some(Some(commit.clone())),
                // What it does not need any more is still to go.
                settled: false,
            })
            .await?;
        self.board.release(environment.id);
        self.board.show(&environment, Some(observed)).await;
        tracing::info!(
            environment.slug = %environment.slug,
            environment.generation = environment.generation.0,
            repo = %environment.repo,
            commit = commit.short(),
            "the environment is ready"
        );
        Ok(())
    }

    /// What a repair could not bring back. Told from the written plans: it may be another life that reads them.
    async fn loss(&self, stack: &Stack) -> Result<Option<String>, Failure> {
        if self.environment.intent != Intent::Repair {
            return Ok(None);
        }
        let history = self.house.store.deployments(self.environment.id).await?;
        let ours = history.iter().filter(|it| it.generation == self.environment.generation);
        let plans: Vec<&str> = ours.map(|it| it.plan.as_str()).collect();
        Ok(drift::loss(&drift::lost_volumes(stack, &plans)))
    }

    pub(super) fn stored_routes(&self, stack: &Stack) -> Vec<StoredRoute> {
        let domain = &self.settings.address.domain;
        let host =
            |route: &RouteSpec| crate::domain::slug::hostname(&self.environment.slug, &route.label, domain);
        stack.routes.iter().map(|route| StoredRoute { host: host(route), route: route.clone() }).collect()
    }

    /// Whether the primary, as it runs now, is sound enough to be routed.
    pub(super) fn still_serving(&self, stack: &Stack, observed: &Observed) -> bool {
        stack.routes.first().is_some_and(|primary| readiness::serving(stack, observed, &primary.service))
    }

    /// Adds the last log lines of the container that is to blame, where one is.
    pub(super) async fn with_culprit(&self, failure: Failure, stack: &Stack, observed: &Observed) -> Failure {
        let Failure::Failed(reason) = &failure else { return failure };
        let culprit = match readiness::judge(stack, observed) {
            Readiness::Failed { container, .. } => container,
            Readiness::Pending { .. } | Readiness::Ready => readiness::suspect(stack, observed, reason),
        };
        let Some(container) = culprit else { return failure };
        let lines = Collector::default();
        if self.house.ports.engine.logs(&container, LogRange::Last(CULPRIT_LINES), &lines).await.is_err() {
            return failure;
        }
        let lines = lines.take();
        for line in &lines {
            self.log.line(LogLine { source: "container".into(), text: line.clone() });
        }
        if lines.is_empty() {
            return failure;
        }
        Failure::Failed(format!("{reason}\n\n{}", lines.join("\n")))
    }
}

/// More patience with each probe, but never much beyond the deadline.
fn probe_limit(probes: u32, deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    (PROBE_LIMIT * (probes + 1)).min(left.max(PROBE_LIMIT))
}

/// Keeps lines in memory; for a bounded tail only.
#[derive(Default)]
pub(super) struct Collector(Mutex<Vec<String>>);

impl Collector {
    pub(super) fn take(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl LogSink for Collector {
    fn line(&self, line: LogLine) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line.text);
    }
}
