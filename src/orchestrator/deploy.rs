//! Running a branch: prepare, images, stack, up, ready, published.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::environment::{Intent, Phase};
use crate::domain::names::CommitSha;
use crate::domain::observed::Observed;
use crate::domain::plan::{Plan, Step};
use crate::domain::reconcile::{self, Force, RunFacts};
use crate::domain::stack::Stack;
use crate::ports::{NetworkRequest, Resource, UpRequest, VolumeRequest, meters};
use crate::store::{StateChange, StoredRoute};

use super::failure::Failure;
use super::last_words::LastWords;
use super::run::Run;
use super::start::PROBE_LIMIT;

/// The label that remembers what a network or volume was made from.
const DEFINITION_LABEL: &str = "drey.definition";
/// Whoever brings back a stack as it was looks first whether all that it binds is written out.
const NO_CHECKOUT: &str = "files of the checkout are needed, and there is none";

impl Run<'_> {
    /// Until the branch's newest commit runs and is routed.
    pub(super) async fn deploy(&self, rebuild: bool, pull: bool) -> Result<(), Failure> {
        let mut failures = 0;
        loop {
            self.await_room(Phase::Queued).await?;
            let result = self.deploy_stack(Force { rebuild, pull }).await;
            let Err(Failure::NoRoom(reason)) = result else { return result };
            self.house.ports.workspace.discard_checkout(self.environment.id).await?;
            failures += 1;
            self.await_next_try(&reason, failures).await?;
        }
    }

    async fn deploy_stack(&self, force: Force) -> Result<(), Failure> {
        let ports = &self.house.ports;
        // The tools start while there is still something to wait for; what is not used ends with these two names.
        let directory = ports.workspace.directory(self.environment.id);
        let _build = ports.builder.expect_build(&directory, &self.interim());
        let Some(prepared) = self.prepare().await? else { return Ok(()) };
        let _up = ports.stacks.expect_up(&self.environment.project, &directory);
        let images = self.make_images(&prepared, force).await?;
        let stack = self.make_stack(&prepared, &images).await?;
        let commit = prepared.commit.clone();
        let result = self.apply_stack(&stack, &commit, &prepared.checkout, force).await;
        match result {
            Ok(()) => self.finish(&stack, &images.tags()).await,
            Err(failure) => Err(self.after_failure(failure, &stack).await?),
        }
    }

    async fn apply_stack(
        &self,
        stack: &Stack,
        commit: &CommitSha,
        checkout: &std::path::Path,
        force: Force,
    ) -> Result<(), Failure> {
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        let facts = self.run_facts(force).await?;
        let plan =
            reconcile::run(stack, &observed, &facts).map_err(|blocked| Failure::Blocked(blocked.reason))?;
        self.note(&plan).await?;
        self.apply(&plan, stack, commit, Some(checkout), &observed).await
    }

    pub(super) async fn run_facts(&self, force: Force) -> Result<RunFacts, Failure> {
        let applied = self.house.store.stack(self.environment.id).await?;
        Ok(RunFacts {
            applied: applied.filter(|applied| applied.whole).map(|applied| applied.stack),
            binds: self.house.ports.workspace.binds(self.environment.id).await?,
            serving: self.environment.serving,
            // A new generation always proves readiness anew.
            published: false,
            recreate: force.rebuild,
            jobs: self.jobs_done().await?,
            fill: self.environment.to_fill().map(str::to_owned),
            slept: self.environment.intent == Intent::Wake,
        })
    }

    pub(super) async fn apply(
        &self,
        plan: &Plan,
        stack: &Stack,
        commit: &CommitSha,
        checkout: Option<&std::path::Path>,
        observed: &Observed,
    ) -> Result<(), Failure> {
        let (engine, workspace) = (&self.house.ports.engine, &self.house.ports.workspace);
        let id = self.environment.id;
        self.place_secrets(stack).await?;
        let within = Duration::from_secs(stack.readiness.within_seconds);
        let last_words = LastWords::new(self.house, id);
        let mut deadline = Deadline { within, at: None };
        let touches = |step: &Step| {
            matches!(step, Step::Up { .. } | Step::RunJob { .. } | Step::RemoveContainer { .. })
        };
        for planned in &plan.steps {
            if touches(&planned.step) {
                self.house.store.disturb_stack(id).await?;
            }
            let _measured = meters::step(self.kind(), planned.step.word());
            match &planned.step {
                Step::CreateNetwork { name } => self.create_network(stack, name).await?,
                Step::CreateVolume { name } => self.create_volume(stack, name).await?,
                Step::RemoveVolume { name } => engine.remove(&Resource::Volume(name.clone())).await?,
                Step::Fill { archive } => self.fill(archive, stack).await?,
                Step::WriteBinds => {
                    let checkout = checkout.ok_or_else(|| Failure::Failed(NO_CHECKOUT.to_owned()))?;
                    workspace.write_binds(id, checkout, &stack.binds).await?;
                }
                Step::Hold => {
                    self.board.hold(&self.environment, Some(observed)).await;
                    self.house.ports.provider.settle().await;
                }
                Step::Up { recreate } => {
                    let up = self.up(stack, *recreate, deadline.get()).await;
                    self.audited(stack, up).await?;
                }
                Step::Start => self.start(stack, deadline.get()).await?,
                Step::Unpause => self.unpause(observed).await?,
                Step::RunJob { job } => {
                    let took = self.run_job(stack, job, deadline.get()).await?;
                    deadline.extend(took);
                }
                Step::AwaitReady { .. } => {
                    self.audit_unless_up(plan, stack).await?;
                    self.await_ready(stack, commit, deadline.get()).await?;
                }
                // Readiness and publishing are one: `await_ready` publishes what it saw.
                Step::Publish => {}
                Step::PruneBinds => workspace.prune_binds(id, &bound(stack)).await?,
                Step::SaveLogs { container, name } if plan.removes(container) => {
                    last_words.save(container, name).await;
                }
                Step::SaveLogs { container, name } => last_words.listen(container, name),
                Step::RemoveContainer { id, .. } => engine.remove(&Resource::Container(id.clone())).await?,
                Step::RemoveNetwork { name } => engine.remove(&Resource::Network(name.clone())).await?,
                Step::Build { .. }
                | Step::Pull { .. }
                | Step::Withdraw
                | Step::SkipJob { .. }
                | Step::Stop
                | Step::Pause
                | Step::Archive { .. }
                | Step::RemoveImage { .. }
                | Step::RemoveFiles
                | Step::Release => {
                    return Err(Failure::Failed(format!("no part of running: {}", planned.step)));
                }
            }
            self.failpoint_after(&planned.step);
        }
        Ok(())
    }

    async fn create_network(&self, stack: &Stack, name: &str) -> Result<(), Failure> {
        let Some(spec) = stack.networks.iter().find(|spec| spec.name == name) else { return Ok(()) };
        let mut labels = self.resource_labels();
        labels.insert(DEFINITION_LABEL.to_owned(), spec.definition.clone());
        labels.insert("com.docker.compose.network".to_owned(), spec.key.clone());
        let request = NetworkRequest {
            name: spec.name.clone(),
            subnet: spec.subnet.clone(),
            internal: spec.internal,
            mtu: spec.mtu,
            labels,
        };
        Ok(self.house.ports.engine.create_network(&request).await?)
    }

    async fn create_volume(&self, stack: &Stack, name: &str) -> Result<(), Failure> {
        let Some(spec) = stack.volumes.iter().find(|spec| spec.name == name) else { return Ok(()) };
        let mut labels = spec.labels.clone();
        labels.extend(self.resource_labels());
        labels.insert(DEFINITION_LABEL.to_owned(), spec.definition.clone());
        labels.insert("com.docker.compose.volume".to_owned(), spec.key.clone());
        let request =
            VolumeRequest { name: spec.name.clone(), driver_opts: spec.driver_opts.clone(), labels };
        Ok(self.house.ports.engine.create_volume(&request).await?)
    }

    pub(super) async fn up(&self, stack: &Stack, recreate: bool, deadline: Instant) -> Result<(), Failure> {
        self.house.enclose().await?;
        if !self.environment.serving {
            self.board.refresh(&self.enter(Phase::Starting).await?).await;
        }
        let request = UpRequest {
            project: self.environment.project.clone(),
            directory: self.house.ports.workspace.directory(self.environment.id),
            stack: stack.clone(),
            recreate,
        };
        match tokio::time::timeout_at(deadline, self.house.ports.stacks.up(&request, &*self.log)).await {
            Ok(result) => result.map_err(Failure::from),
            Err(_) => Err(Failure::Failed(format!(
                "not started within {} s (`drey.ready.within`): a service that others wait for does not get healthy",
                stack.readiness.within_seconds
            ))),
        }
    }

    /// The stack runs: what it is and where it is reached is written down.
    pub(super) async fn remember(&self, stack: &Stack) -> Result<(), Failure> {
        let routes: Vec<StoredRoute> = self.stored_routes(stack);
        self.house.store.set_routes(self.environment.id, &routes).await?;
        Ok(self.house.store.set_stack(self.environment.id, self.environment.generation, stack).await?)
    }

    pub(super) async fn finish(&self, stack: &Stack, tags: &[String]) -> Result<(), Failure> {
        self.shop.keep_only(self.environment.id, tags).await?;
        self.failpoint("images_kept");
        self.say(format!("{} services are ready", stack.services.len()));
        Ok(())
    }

    /// Before `up` nothing was touched. After it the branch is routed where all that a route needs is sound.
    pub(super) async fn after_failure(&self, failure: Failure, stack: &Stack) -> Result<Failure, Failure> {
        let (Failure::Failed(_) | Failure::Job(_) | Failure::Blocked(_)) = &failure else {
            return Ok(failure);
        };
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        let failure = self.with_culprit(failure, stack, &observed).await;
        let applied = self.house.store.stack(self.environment.id).await?;
        let untouched = applied.is_some_and(|applied| applied.whole);
        // A repair that fails changes nothing about what is served: each route says what becomes of it.
        let is_repair = self.environment.intent == Intent::Repair;
        if untouched || is_repair || self.environment.running_commit.is_none() {
            return Ok(failure);
        }
        let serving = self.still_serving(stack, &observed)
            && self.ask_primary(stack, &observed, PROBE_LIMIT).await.is_ok();
        let change = StateChange {
            phase: Phase::Updating,
            reason: None,
            serving: Some(serving),
            running_commit: None,
            settled: false,
        };
        self.change(change).await?;
        Ok(failure)
    }

    /// A branch that never ran and did not come up leaves its volumes, but no containers and no networks: neither
    /// its own nor those of a run that was cut before it.
    pub(super) async fn clear(&self) -> Result<(), Failure> {
        let engine = &self.house.ports.engine;
        let observed = engine.observe(&self.environment.project).await?;
        let last_words = LastWords::new(self.house, self.environment.id);
        self.house.ports.vault.clear(self.environment.id).await?;
        for planned in reconcile::clear(&observed).steps {
            if let Step::SaveLogs { container, name } = planned.step {
                last_words.save(&container, &name).await;
            } else if let Step::RemoveContainer { id, .. } = planned.step {
                engine.remove(&Resource::Container(id)).await?;
            } else if let Step::RemoveNetwork { name } = planned.step {
                engine.remove(&Resource::Network(name)).await?;
            }
        }
        Ok(())
    }
}

/// Content ids of all that the stack binds.
fn bound(stack: &Stack) -> BTreeSet<String> {
    stack.binds.iter().map(|bind| bind.content_id.clone()).collect()
}

/// One deadline over starting and answering; it runs from the first of the two, and jobs have time of their own.
struct Deadline {
    within: Duration,
    at: Option<Instant>,
}

impl Deadline {
    fn get(&mut self) -> Instant {
        *self.at.get_or_insert_with(|| Instant::now() + self.within)
    }

    fn extend(&mut self, by: Duration) {
        self.at = Some(self.get() + by);
    }
}
