//! From a stack that runs to one that sleeps: the containers stop, and stay.

use super::is_active;
use crate::domain::observed::Observed;
use crate::domain::plan::{Plan, Step};

/// Plan for putting an environment to sleep: the route first, so that a visitor meets the page that wakes it.
pub fn sleep(observed: &Observed, serving: bool) -> Plan {
    let mut plan = Plan::default();
    if serving {
        plan.push(Step::Withdraw, "the route goes first");
    }
    if observed.containers.iter().any(|container| is_active(container.state)) {
        plan.push(Step::Stop, "containers run");
    }
    plan
}
