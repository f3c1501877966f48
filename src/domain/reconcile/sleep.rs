//! From a stack that runs to one that sleeps: the containers stop, or are frozen, and stay.

use super::is_active;
use crate::domain::observed::{ContainerState, Observed};
use crate::domain::plan::{Plan, Step};
use crate::domain::rest::SleepMode;

/// Plan for putting an environment to sleep: the route first, so that a visitor meets the page that wakes it.
pub fn sleep(observed: &Observed, serving: bool, mode: SleepMode) -> Plan {
    let mut plan = Plan::default();
    if serving {
        plan.push(Step::Withdraw, "the route goes first");
    }
    let any = |is: fn(ContainerState) -> bool| observed.containers.iter().any(|it| is(it.state));
    match mode {
        // What the engine is about to start again cannot be frozen.
        SleepMode::Pause if !any(|state| state == ContainerState::Restarting) => {
            if any(|state| state == ContainerState::Running) {
                plan.push(Step::Pause, "containers run, and are to be back at once");
            }
        }
        SleepMode::Stop | SleepMode::Pause => {
            if any(is_active) {
                plan.push(Step::Stop, "containers run");
            }
        }
    }
    plan
}
