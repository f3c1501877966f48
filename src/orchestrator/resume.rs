//! Bringing back what ran, as it was: after sleep, and where something was touched from outside. From the stored stack
//! alone; where that is not enough, the branch is deployed.

use std::collections::BTreeSet;

use crate::domain::environment::{DeploymentState, Intent, Phase};
use crate::domain::names::CommitSha;
use crate::domain::reconcile::{self, Force};
use crate::domain::rewrite;
use crate::domain::stack::Stack;

use super::failure::Failure;
use super::run::Run;

impl Run<'_> {
    pub(super) async fn resume(&self) -> Result<(), Failure> {
        match self.former().await? {
            Ok((stack, commit)) => self.resume_stack(&stack, &commit).await,
            Err(why) => {
                self.say(format!("{why}: the branch is deployed"));
                self.deploy(false, false).await
            }
        }
    }

    /// The stack to bring back and its commit, or why there is none that could be.
    async fn former(&self) -> Result<Result<(Stack, CommitSha), &'static str>, Failure> {
        let environment = &self.environment;
        let Some(commit) = environment.running_commit.clone() else { return Ok(Err("nothing of it ran")) };
        let is_behind = environment.commit.as_ref() != Some(&commit);
        if is_behind && !self.is_to_stay_behind().await? && !self.newest_failed().await? {
            return Ok(Err("the branch is at another commit than what ran"));
        }
        let Some(applied) = self.house.store.stack(environment.id).await? else {
            return Ok(Err("what ran is not known"));
        };
        let stack = applied.stack;
        let written = self.house.ports.workspace.binds(environment.id).await?;
        if stack.binds.iter().any(|bind| !written.contains(&bind.content_id)) {
            return Ok(Err("files that it binds are gone"));
        }
        for image in images(&stack) {
            if self.house.ports.engine.image(image).await?.is_none() {
                return Ok(Err("an image of it is gone"));
            }
        }
        Ok(Ok((stack, commit)))
    }

    /// The newest commit was tried and did not come up: what sleeps wakes as it was before that.
    async fn newest_failed(&self) -> Result<bool, Failure> {
        let history = self.house.store.deployments(self.environment.id).await?;
        let newest = history.iter().filter(|it| it.generation == self.environment.run_generation);
        Ok(newest.max_by_key(|it| it.id).is_some_and(|it| it.state == DeploymentState::Failed))
    }

    /// Said of what wakes with an older commit than its branch has, because the newer one failed.
    pub(super) async fn why_behind(&self, commit: &CommitSha) -> Result<Option<String>, Failure> {
        let Some(newest) = self.environment.commit.as_ref().filter(|newest| *newest != commit) else {
            return Ok(None);
        };
        if self.environment.intent != Intent::Wake || !self.newest_failed().await? {
            return Ok(None);
        }
        let (newest, name) = (newest.short(), self.environment.name());
        Ok(Some(format!(
            "{newest} failed, and {} from before runs; `drey env deploy {name}` tries {newest} again",
            commit.short()
        )))
    }

    async fn resume_stack(&self, stack: &Stack, commit: &CommitSha) -> Result<(), Failure> {
        let phase = if self.environment.serving { Phase::Updating } else { Phase::Waking };
        let environment = self.enter(phase).await?;
        if !environment.serving {
            self.board.refresh(&environment).await;
        }
        let observed = self.house.ports.engine.observe(&environment.project).await?;
        let facts = self.run_facts(Force::default()).await?;
        let is_repair = self.environment.intent == Intent::Repair;
        let make = if is_repair { reconcile::repair } else { reconcile::run };
        let plan = make(stack, &observed, &facts).map_err(|blocked| Failure::Blocked(blocked.reason))?;
        self.note(&plan).await?;
        if let Err(failure) = self.apply(&plan, stack, commit, None, &observed).await {
            return Err(self.after_failure(failure, stack).await?);
        }
        self.finish(stack, &self.images_that_run(stack).await?).await
    }

    /// Of those that it has claimed; a run that was given up may have claimed others.
    pub(super) async fn images_that_run(&self, stack: &Stack) -> Result<Vec<String>, Failure> {
        let used = images(stack);
        let mut claimed = self.house.store.images_of(self.environment.id).await?;
        claimed.retain(|tag| used.contains(tag.as_str()));
        Ok(claimed)
    }
}

fn images(stack: &Stack) -> BTreeSet<&str> {
    rewrite::services_of(&stack.document).filter_map(|(_, service)| service.get("image")?.as_str()).collect()
}
