//! The look at what `up` has made: every container as confined as drey promises, or the environment stops.

use std::path::PathBuf;

use crate::domain::audit::{self, Breach, Confinement, Expected};
use crate::domain::environment::Phase;
use crate::domain::plan::{Plan, Step};
use crate::domain::rewrite::{self, ServiceLimits, Share};
use crate::domain::stack::Stack;
use crate::ports::meters;
use crate::store::StateChange;

use super::failure::Failure;
use super::run::Run;

impl Run<'_> {
    /// What `up` came to, once all that it made was looked at: a breach counts more than any other failure.
    pub(super) async fn audited(&self, stack: &Stack, up: Result<(), Failure>) -> Result<(), Failure> {
        match (up, self.audit(stack).await) {
            (_, Err(breach @ Failure::Breach(_))) => Err(breach),
            (up, looked) => up.and(looked),
        }
    }

    /// A plan without an `up` is looked at too before it is published: somebody else may have touched its containers.
    pub(super) async fn audit_unless_up(&self, plan: &Plan, stack: &Stack) -> Result<(), Failure> {
        if plan.steps.iter().any(|planned| matches!(planned.step, Step::Up { .. })) {
            return Ok(());
        }
        self.audit(stack).await
    }

    /// Holds every container of the environment against what it must be. Where one is not, all of them are removed and
    /// nothing is served.
    async fn audit(&self, stack: &Stack) -> Result<(), Failure> {
        let containers = self.house.ports.confinements.confinements(&self.environment.project).await?;
        let breaches = self.breaches(&containers, stack)?;
        if breaches.is_empty() {
            return Ok(());
        }
        for breach in &breaches {
            meters::breach(breach.rule.as_str());
            self.say(format!("audit: {breach}"));
        }
        let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
        let told = told.join("\n");
        tracing::error!(
            environment.slug = %self.environment.slug,
            environment.generation = self.environment.generation.0,
            repo = %self.environment.repo,
            breaches = told,
            "a container is not confined as it must be: the environment is stopped"
        );
        self.halt().await?;
        Err(Failure::Breach(format!(
            "audit: what runs is not confined as drey promises, so all of it was stopped; volumes stay. This is a gap in \
             drey, in the engine, or in the operator's overlay, not a setting of the branch:\n{told}"
        )))
    }

    fn breaches(&self, containers: &[Confinement], stack: &Stack) -> Result<Vec<Breach>, Failure> {
        let repository = self.repository()?;
        let limits = &self.settings.limits;
        let of_service =
            ServiceLimits { memory_bytes: limits.memory_bytes, cpus: limits.cpus, pids: limits.pids };
        let share = Share { memory_bytes: limits.memory_bytes, cpus: limits.cpus };
        let values = rewrite::overlay_values(&stack.document, of_service, share);
        let expected = Expected {
            project: &self.environment.project,
            labels: &self.labels(),
            document: &stack.document,
            overlay: &self.house.ports.stacks.overlay(&values)?,
            folders: &self.bind_folders(),
            permissions: &repository.permissions,
        };
        Ok(audit::breaches(containers, &expected))
    }

    /// Folders of the host that drey itself binds from.
    fn bind_folders(&self) -> Vec<PathBuf> {
        let (id, ports) = (self.environment.id, &self.house.ports);
        vec![ports.workspace.binds_directory(id), ports.vault.folder(id)]
    }

    /// The route goes first, the containers after; volumes stay.
    async fn halt(&self) -> Result<(), Failure> {
        let change = StateChange {
            phase: if self.environment.serving { Phase::Updating } else { Phase::Starting },
            reason: None,
            serving: Some(false),
            running_commit: Some(None),
            settled: false,
        };
        let withdrawn = self.change(change).await;
        if let Ok(environment) = &withdrawn {
            self.board.release(environment.id);
            self.board.refresh(environment).await;
        }
        // Also where a newer generation has taken over: what breaks the rules does not run on for that.
        self.clear().await?;
        withdrawn.map(drop)
    }
}
