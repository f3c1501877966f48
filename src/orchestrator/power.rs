//! Containers that are there: started in the order of what they wait for, frozen, and let go on.

use std::collections::BTreeSet;

use futures_util::future::{join_all, try_join_all};
use tokio::time::Instant;

use crate::domain::observed::{Container, ContainerState, Observed};
use crate::domain::readiness::{self, Readiness};
use crate::domain::stack::Stack;
use crate::ports::PortResult;

use super::failure::Failure;
use super::run::Run;

impl Run<'_> {
    /// Starts what does not run, each container once. Where one cannot be started compose is asked, which knows more ways.
    pub(super) async fn start(&self, stack: &Stack, deadline: Instant) -> Result<(), Failure> {
        self.house.enclose().await?;
        let power = &self.house.ports.power;
        let (mut begun, mut attempt) = (BTreeSet::new(), 0);
        loop {
            let observed = self.house.ports.engine.observe(&self.environment.project).await?;
            let is_new = |container: &&Container| !begun.contains(&container.id);
            let left = readiness::to_start(stack, &observed).into_iter().filter(is_new).count();
            let next: Vec<&Container> =
                readiness::startable(stack, &observed).into_iter().filter(is_new).collect();
            if left == 0 {
                return Ok(());
            }
            if next.is_empty() {
                let waits = |it: &Container| is_down(it) && !begun.contains(&it.id);
                let containers = observed.containers.iter().filter(|it| !waits(it)).cloned().collect();
                let begun = Observed { containers, ..observed };
                self.wait_for_others(stack, &begun, deadline, attempt).await?;
                attempt += 1;
                continue;
            }
            let started = join_all(next.iter().map(|container| power.start(&container.id))).await;
            if let Some(error) = started.into_iter().find_map(Result::err) {
                self.say(format!("{error}: compose brings it up"));
                self.house.store.disturb_stack(self.environment.id).await?;
                return self.up(stack, false, deadline).await;
            }
            begun.extend(next.iter().map(|container| container.id.clone()));
        }
    }

    async fn wait_for_others(
        &self,
        stack: &Stack,
        begun: &Observed,
        deadline: Instant,
        attempt: u32,
    ) -> Result<(), Failure> {
        if Instant::now() >= deadline {
            return Err(Failure::Failed(format!(
                "not started within {} s (`drey.ready.within`): a service that others wait for does not get healthy",
                stack.readiness.within_seconds
            )));
        }
        if let Readiness::Failed { service, reason, .. } = readiness::judge(stack, begun) {
            return Err(Failure::Failed(format!("{service}: {reason}")));
        }
        tokio::time::sleep(readiness::probe_delay(attempt)).await;
        Ok(())
    }

    /// Freezes what runs.
    pub(super) async fn pause(&self, observed: &Observed) -> PortResult<()> {
        let power = &self.house.ports.power;
        let running = observed.containers.iter().filter(|it| it.state == ContainerState::Running);
        try_join_all(running.map(|container| power.pause(&container.id))).await.map(|_all| ())
    }

    /// What is frozen goes on.
    pub(super) async fn unpause(&self, observed: &Observed) -> PortResult<()> {
        let power = &self.house.ports.power;
        let frozen = observed.containers.iter().filter(|it| it.state == ContainerState::Paused);
        try_join_all(frozen.map(|container| power.unpause(&container.id))).await.map(|_all| ())
    }
}

/// One that waits for its turn is no failure, however it ended before.
fn is_down(container: &Container) -> bool {
    matches!(container.state, ContainerState::Created | ContainerState::Exited(_))
}
