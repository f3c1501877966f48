//! Alive, ready, and numbers.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::extract::State;

use crate::domain::environment::Phase;

use super::Web;
use super::error::ApiError;

pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// The database and the engine answer.
pub(super) async fn ready(State(web): State<Web>) -> Result<&'static str, ApiError> {
    let house = web.inner.orchestrator.house();
    house.store.check().await?;
    house.ports.engine.ping().await?;
    Ok("ready\n")
}

/// Prometheus' text format.
pub(super) async fn metrics(State(web): State<Web>) -> Result<String, ApiError> {
    let house = web.inner.orchestrator.house();
    let mut phases: BTreeMap<&str, usize> = Phase::ALL.iter().map(|phase| (phase.word(), 0)).collect();
    for environment in house.store.environments(false).await? {
        *phases.entry(environment.phase.word()).or_default() += 1;
    }
    let pending = house.store.pending_events().await?.len();
    let mut text =
        String::from("# HELP drey_environments Environments by phase.\n# TYPE drey_environments gauge\n");
    let written = phases
        .iter()
        .try_for_each(|(phase, count)| writeln!(text, "drey_environments{{phase=\"{phase}\"}} {count}"))
        .and_then(|()| writeln!(text, "# HELP drey_events_pending Events that are not settled.\n# TYPE drey_events_pending gauge\ndrey_events_pending {pending}"))
        .and_then(|()| writeln!(text, "# HELP drey_task_panics_total Background tasks that panicked.\n# TYPE drey_task_panics_total counter\ndrey_task_panics_total {}", house.supervisor.panics()));
    written.map_err(|error| ApiError::unavailable(error.to_string()))?;
    Ok(text)
}
