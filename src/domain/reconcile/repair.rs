//! From a stack that was touched from outside to one that is whole again.

use super::{Blocked, RunFacts, run};
use crate::domain::drift;
use crate::domain::observed::{Container, ContainerState, Observed};
use crate::domain::plan::{Plan, Step};
use crate::domain::stack::Stack;

/// Plan for putting right what was touched: containers that starting does not mend go, and all that is missing is made.
///
/// # Errors
/// As [`run`].
pub fn repair(stack: &Stack, observed: &Observed, facts: &RunFacts) -> Result<Plan, Blocked> {
    let unsound = drift::unsound(stack, observed);
    if unsound.is_empty() {
        return run(stack, observed, facts);
    }
    let mut plan = Plan::default();
    if facts.serving {
        plan.push(Step::Hold, "containers are replaced");
    }
    for (container, why) in &unsound {
        let (id, name) = (container.id.clone(), container.name.clone());
        if container.state != ContainerState::Created {
            let container = container.id.clone();
            plan.push(Step::SaveLogs { container, name: name.clone() }, "they go with the container");
        }
        plan.push(Step::RemoveContainer { id, name }, *why);
    }
    let goes = |container: &&Container| unsound.iter().any(|(gone, _)| gone.id == container.id);
    let rest = Observed {
        containers: observed.containers.iter().filter(|container| !goes(container)).cloned().collect(),
        ..observed.clone()
    };
    let held = RunFacts { serving: false, ..facts.clone() };
    plan.steps.extend(run(stack, &rest, &held)?.steps);
    Ok(plan)
}
