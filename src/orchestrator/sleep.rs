//! Putting an environment to sleep: its containers stop and stay, with all that is theirs.

use std::time::Duration;

use crate::domain::environment::Phase;
use crate::domain::observed::Observed;
use crate::domain::plan::Step;
use crate::domain::reconcile;
use crate::domain::rest::SleepMode;
use crate::ports::meters;
use crate::store::StateChange;

use super::failure::Failure;
use super::run::Run;

/// How long a container gets to stop by itself, in seconds.
const STOP_TIMEOUT: u32 = 10;
/// How long all of them together get: those that others depend on are stopped after these, one row after the other.
const STOP_LIMIT: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// Until nothing of it runs; with `gives_way` only where nobody came meanwhile.
    pub(super) async fn sleep(&self, why: &str, gives_way: bool) -> Result<(), Failure> {
        self.board.release(self.environment.id);
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        let mode = self.sleep_mode().await?;
        let plan = reconcile::sleep(&observed, self.environment.serving, mode);
        self.note(&plan).await?;
        for planned in &plan.steps {
            let _measured = meters::step("sleep", planned.step.word());
            if planned.step == Step::Withdraw {
                if !self.leave_route(why, gives_way).await? {
                    return Ok(());
                }
            } else if planned.step == Step::Stop {
                self.stop().await?;
            } else if planned.step == Step::Pause {
                self.freeze(&observed).await?;
            } else {
                return Err(Failure::Failed(format!("no part of sleeping: {}", planned.step)));
            }
            self.failpoint_after(&planned.step);
        }
        // What is frozen has them before its eyes.
        if mode == SleepMode::Stop {
            self.house.ports.vault.clear(self.environment.id).await?;
        }
        if let Some(applied) = self.house.store.stack(self.environment.id).await? {
            let tags = self.images_that_run(&applied.stack).await?;
            self.shop.keep_only(self.environment.id, &tags).await?;
        }
        self.lie_down(why, true).await?;
        tracing::info!(environment.slug = %self.environment.slug, repo = %self.environment.repo, why, "the environment sleeps");
        Ok(())
    }

    /// Takes it off the route, and says whether it goes on from there.
    async fn leave_route(&self, why: &str, gives_way: bool) -> Result<bool, Failure> {
        self.lie_down(why, false).await?;
        self.house.ports.provider.settle().await;
        if gives_way && self.stays_awake().await? {
            return Ok(false);
        }
        self.house.ports.visitors.dismiss(self.environment.id).await;
        Ok(true)
    }

    /// Whoever came between the last look and the end of the route finds it as it was: nothing was stopped yet.
    async fn stays_awake(&self) -> Result<bool, Failure> {
        let environment = &self.environment;
        if !self.house.ports.visitors.presence(environment.id).is_somebody() {
            return Ok(false);
        }
        let now = self.house.ports.clock.now();
        let awake = self.house.store.stay_awake(environment, now).await?.ok_or(Failure::Superseded)?;
        self.say("somebody came: it stays awake");
        self.board.refresh(&awake).await;
        Ok(true)
    }

    /// What failed and is not served runs for nobody.
    pub(super) async fn stop_unseen(&self) -> Result<(), Failure> {
        let row = self.house.store.environment(self.environment.id).await?;
        if row.is_none_or(|row| row.serving || row.running_commit.is_none()) {
            return Ok(());
        }
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        match reconcile::sleep(&observed, false, SleepMode::Stop).steps.is_empty() {
            true => Ok(()),
            false => self.stop().await,
        }
    }

    /// An engine that cannot freeze stops.
    async fn freeze(&self, observed: &Observed) -> Result<(), Failure> {
        let Err(error) = self.pause(observed).await else {
            // Nothing comes from what is frozen, and nothing breaks off by itself.
            self.house.ports.visitors.cut(self.environment.id);
            return Ok(());
        };
        self.say(format!("{error}: the containers are stopped instead"));
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        self.unpause(&observed).await?;
        self.stop().await
    }

    /// By its stack's word, else by its repository's.
    async fn sleep_mode(&self) -> Result<SleepMode, Failure> {
        let own = self.house.store.stack_settings(self.environment.id).await?;
        let given = self.settings.repositories.get(&self.environment.repo).map(|it| it.rest.sleep);
        Ok(own.sleep.or(given).unwrap_or_default())
    }

    /// What depends on others stops before them; what does not stop in time is killed.
    pub(super) async fn stop(&self) -> Result<(), Failure> {
        let (stacks, project) = (&self.house.ports.stacks, &self.environment.project);
        let gently = tokio::time::timeout(STOP_LIMIT, stacks.stop(project, STOP_TIMEOUT, &*self.log));
        if let Ok(result) = gently.await {
            return Ok(result?);
        }
        self.say(format!("not everything stopped within {} s: the rest is killed", STOP_LIMIT.as_secs()));
        Ok(stacks.stop(project, 0, &*self.log).await?)
    }

    async fn lie_down(&self, why: &str, settled: bool) -> Result<(), Failure> {
        let environment = self
            .change(StateChange {
                phase: Phase::Asleep,
                reason: Some(why.to_owned()),
                serving: Some(false),
                running_commit: None,
                settled,
            })
            .await?;
        self.board.show(&environment, None).await;
        Ok(())
    }
}
