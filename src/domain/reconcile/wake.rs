//! Bringing back what slept: its containers are all there, so they are started or go on, and compose is not asked.

use super::RunFacts;
use crate::domain::observed::{Container, ContainerState, Observed};
use crate::domain::plan::{Plan, Step};
use crate::domain::readiness;
use crate::domain::stack::Stack;

/// Frozen containers go on before anything else; the rest of the plan takes them for what they are then.
pub(super) fn thaw(observed: &Observed, plan: &mut Plan) -> Observed {
    let mut observed = observed.clone();
    let frozen = observed.containers.iter_mut().filter(|it| it.state == ContainerState::Paused);
    let thawed = frozen.map(|container| container.state = ContainerState::Running).count();
    if thawed > 0 {
        plan.push(Step::Unpause, "containers are frozen");
    }
    observed
}

/// Whether starting what is there is all there is to do: nothing of the stack changed while it slept.
pub(super) fn may_start(stack: &Stack, observed: &Observed, facts: &RunFacts) -> bool {
    let is_same = facts.applied.as_ref().is_some_and(|applied| applied.digest == stack.digest);
    facts.slept
        && is_same
        && !facts.recreate
        && facts.fill.is_none()
        && stack.services.iter().all(|(name, service)| {
            let mut there = of_service(observed, name);
            let whole = there.all(|container| container.state != ContainerState::Dead);
            whole
                && of_service(observed, name).count()
                    == usize::try_from(service.replicas).unwrap_or(usize::MAX)
        })
        && !readiness::to_start(stack, observed).is_empty()
}

fn of_service<'a>(observed: &'a Observed, service: &'a str) -> impl Iterator<Item = &'a Container> {
    observed.containers.iter().filter(move |container| container.service == service && !container.oneoff)
}
