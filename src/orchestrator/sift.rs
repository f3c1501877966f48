//! Pushes that are passed over: what their commits say and what they change, held against what is configured.

use crate::domain::environment::{Intent, Outcome};
use crate::domain::event::{Event, EventKind};
use crate::domain::names::CommitSha;
use crate::domain::sift::{self, Reason};
use crate::store::{PassedOver, StoreError};

use super::failure::Failure;
use super::farewell::Farewell;
use super::house::Repository;
use super::run::Run;

impl Run<'_> {
    /// Whether nothing is deployed because the push asks for it or does not concern the environment; what follows from that
    /// is done then. What a person asks for is never passed over, nor is a push that came while another was deployed: it has
    /// what that one brought.
    pub(super) async fn passes_over(
        &self,
        repository: &Repository,
        tip: &CommitSha,
    ) -> Result<bool, Failure> {
        if self.is_asked_for().await? {
            return Ok(false);
        }
        let Some(reason) = self.reason_to_pass(repository, tip).await? else { return Ok(false) };
        let told = reason.told(tip);
        if self.stays_as_it_was(tip, &told).await? || self.ends_unseen(tip, &told).await? {
            return Ok(true);
        }
        self.say(format!(
            "{told}; but a deployment before it did not come to its end, and this takes its place"
        ));
        Ok(false)
    }

    /// A person wants it, or it is not about what the branch brings. A wish has no commit; nor has a push that a forge told
    /// of without one.
    async fn is_asked_for(&self) -> Result<bool, Failure> {
        match &self.environment.intent {
            Intent::Run { commit: Some(_), rebuild: false, pull: false } => Ok(false),
            Intent::Run { commit: None, rebuild: false, pull: false } => {
                let events = self.recent_events().await?;
                let is_wish = |event: &Event| matches!(event.kind, EventKind::DeployRequested { .. });
                let newest = events.iter().find(|event| event.kind.is_push() || is_wish(event));
                Ok(newest.is_none_or(is_wish))
            }
            Intent::Run { .. }
            | Intent::Wake
            | Intent::Repair
            | Intent::Sleep { .. }
            | Intent::End { .. } => Ok(true),
        }
    }

    async fn reason_to_pass(
        &self,
        repository: &Repository,
        tip: &CommitSha,
    ) -> Result<Option<Reason>, Failure> {
        let repo = &self.environment.repo;
        let message = self.house.ports.changes.message(repo, tip).await?;
        if let Some(reason) = sift::skip_word(&message) {
            return Ok(Some(reason));
        }
        if repository.paths.is_empty() {
            return Ok(None);
        }
        let base = match self.environment.branch == repository.main {
            // Against itself main changes nothing, ever.
            true => self.environment.running_commit.clone(),
            false => self.house.fetch(repository, &repository.main).await?,
        };
        let Some(base) = base else { return Ok(None) };
        let changed = self.house.ports.changes.changed_paths(repo, &base, tip).await?;
        let paths = changed.paths.iter().map(String::as_str);
        Ok(sift::nothing_of(&repository.paths, paths, changed.is_cut))
    }

    /// What had come to rest stands as it stood.
    async fn stays_as_it_was(&self, tip: &CommitSha, told: &str) -> Result<bool, Failure> {
        let (id, generation) = (self.environment.id, self.environment.generation);
        let now = self.house.ports.clock.now();
        let passed = PassedOver { commit: tip, reason: told };
        let Some(stayed) = self.house.store.pass_over(id, generation, passed, now).await? else {
            return Ok(false);
        };
        self.say(told);
        self.board.refresh(&stayed).await;
        Ok(true)
    }

    /// What this very push would have made ends before it begins.
    async fn ends_unseen(&self, tip: &CommitSha, told: &str) -> Result<bool, Failure> {
        let environment = &self.environment;
        let observed = self.house.ports.engine.observe(&environment.project).await?;
        if !self.is_first(tip).await? || !self.has_nothing(&observed).await? {
            return Ok(false);
        }
        self.say(told);
        let now = self.house.ports.clock.now();
        self.house.store.note_passed_over(&environment.repo, &environment.branch, tip, now).await?;
        self.end(Farewell { outcome: Outcome::Manual, archive: false, reason: Some(told) }).await?;
        Ok(true)
    }

    /// Nothing else was wanted of the environment before. That the branch is there, a forge may tell in a delivery of its own.
    async fn is_first(&self, tip: &CommitSha) -> Result<bool, Failure> {
        if self.environment.generation.0 == 1 {
            return Ok(true);
        }
        let events = self.recent_events().await?;
        let mut of_this_life = events.iter().filter(|it| it.received_at >= self.environment.created_at);
        Ok(of_this_life.all(|event| match event.kind.commit() {
            Some(commit) => commit == *tip,
            None => event.kind.is_push(),
        }))
    }

    /// Among them is what led to this run.
    async fn recent_events(&self) -> Result<Vec<Event>, StoreError> {
        self.house.recent_events(&self.environment.repo, &self.environment.branch).await
    }

    /// What runs is the newest that is to run, although the branch is elsewhere: there it is passed over, or not approved.
    pub(super) async fn is_to_stay_behind(&self) -> Result<bool, Failure> {
        let environment = &self.environment;
        if self.house.is_held(environment).await? {
            return Ok(true);
        }
        let passed = self.house.store.passed_over(&environment.repo, &environment.branch).await?;
        Ok(passed.is_some() && passed == environment.commit)
    }
}
