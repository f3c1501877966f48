//! What an environment's work needs from outside, and whether it is away.

use std::sync::Arc;

use crate::domain::environment::{Environment, Intent};
use crate::ports::PortError;

use super::house::House;

/// What is away now of what the work on this environment needs; `None` when all of it answers.
pub(super) async fn away(house: &Arc<House>, environment: &Environment) -> Option<String> {
    if let Err(error) = house.store.check().await {
        return Some(format!("the database does not answer: {error}"));
    }
    if let Err(PortError::Transient(reason)) = house.ports.engine.ping().await {
        return Some(format!("the engine does not answer: {reason}"));
    }
    if !matches!(environment.intent, Intent::Run { .. }) || !environment.follows_branch() {
        return None;
    }
    // A fetch that failed has asked it; since then the poller does, for all of the repository's environments.
    house.remotes.is_away(&environment.repo).map(|reason| format!("git does not answer: {reason}"))
}
