//! Alive, and ready.

use axum::extract::State;

use super::Web;
use super::error::ApiError;

pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// The database and the engine answer, and new work is taken.
pub(super) async fn ready(State(web): State<Web>) -> Result<&'static str, ApiError> {
    let house = web.inner.orchestrator.house();
    if house.supervisor.is_ending() {
        return Err(ApiError::draining());
    }
    house.store.check().await?;
    house.ports.engine.ping().await?;
    Ok("ready\n")
}
