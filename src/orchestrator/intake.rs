//! What follows from an event, done at once where it is quick.

use crate::domain::environment::Environment;
use crate::domain::event::{Event, EventKind, EventState};
use crate::domain::fold::{Change, Situation, fold};
use crate::domain::names::BranchName;
use crate::ports::failpoint;
use crate::store::{NewEnvironment, StoreError};

use super::Orchestrator;

/// What became of a submitted event.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub event: Event,
    /// The environment of the event's branch, if it has one now.
    pub environment: Option<Environment>,
    /// As `Intent::action` has it, or `checking`, `removing`, `ignored` or `unchanged`.
    pub action: &'static str,
    pub message: Option<String>,
}

impl Orchestrator {
    /// Folds one event. Doing it twice is harmless: a settled event is left alone.
    pub(super) async fn take(&self, event: Event) -> Result<Submitted, StoreError> {
        let _one_at_a_time = self.folding.lock().await;
        let event = self.house.store.event(event.id).await?.unwrap_or(event);
        let environment = self.environment_of(&event).await?;
        if event.state != EventState::Pending {
            let message = event.reason.clone();
            return Ok(Submitted { event, environment, action: "unchanged", message });
        }
        if matches!(event.kind, EventKind::ArchiveRemoval { .. }) {
            self.spawn_removal(event.clone());
            return Ok(Submitted { event, environment, action: "removing", message: None });
        }
        let settings = self.house.settings();
        let Some(repository) = settings.repositories.get(&event.repo) else {
            return self.settle(event, environment, "ignored", "the repository is not configured").await;
        };
        let wanted = event.kind.branch().map_or(Ok(()), |branch| repository.branches.wants(branch));
        let consequence = fold(
            &event,
            Situation {
                environment: environment.as_ref(),
                is_main: event.kind.branch() == Some(&repository.main),
                wanted,
                now: self.house.ports.clock.now(),
            },
        );
        let changed = self.change(&event, environment.as_ref(), &consequence.change).await?;
        if let Some(environment) = changed {
            self.board.refresh(&environment).await;
            self.dispatch.wake(environment.id, environment.generation);
            let action = environment.intent.action();
            if !consequence.judge {
                return self.settle(event, Some(environment), action, "").await;
            }
        }
        if matches!(event.kind, EventKind::Drifted { .. })
            && let Some(environment) = &environment
        {
            self.board.refresh(environment).await;
        }
        if consequence.judge {
            self.spawn_judge(event.clone());
            return Ok(Submitted { event, environment, action: "checking", message: None });
        }
        let reason = match consequence.change {
            Change::Nothing { reason } => reason,
            Change::Create { .. } | Change::Intend { .. } => String::new(),
        };
        let action = if wanted.is_err() || event.skip { "ignored" } else { "unchanged" };
        self.settle(event, environment, action, &reason).await
    }

    async fn change(
        &self,
        event: &Event,
        environment: Option<&Environment>,
        change: &Change,
    ) -> Result<Option<Environment>, StoreError> {
        let now = self.house.ports.clock.now();
        match (change, environment, event.kind.branch()) {
            (Change::Create { intent, commit, archive }, None, Some(branch)) => {
                let new = NewEnvironment {
                    repo: event.repo.clone(),
                    branch: branch.clone(),
                    intent: intent.clone(),
                    commit: commit.clone(),
                    restored_from: archive.clone(),
                    now,
                };
                failpoint("environment.asked");
                let made = self.house.store.create_environment(new).await?;
                failpoint("environment.made");
                Ok(Some(made))
            }
            (Change::Intend { intent, commit }, Some(environment), _) => {
                if event.kind.is_push() {
                    self.house.store.follow_branch(environment.id).await?;
                }
                self.house.store.set_intent(environment.id, intent, commit.as_ref(), now).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    async fn settle(
        &self,
        event: Event,
        environment: Option<Environment>,
        action: &'static str,
        reason: &str,
    ) -> Result<Submitted, StoreError> {
        let state = if action == "ignored" { EventState::Ignored } else { EventState::Done };
        let message = (!reason.is_empty()).then(|| reason.to_owned());
        self.house.store.settle_event(event.id, state, message.as_deref()).await?;
        Ok(Submitted { event, environment, action, message })
    }

    async fn environment_of(&self, event: &Event) -> Result<Option<Environment>, StoreError> {
        let branch: Option<&BranchName> = event.kind.branch();
        match branch {
            Some(branch) => self.house.store.live_environment(&event.repo, branch).await,
            None => Ok(None),
        }
    }
}
