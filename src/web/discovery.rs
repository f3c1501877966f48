//! Containers that drey did not start.

use axum::Json;
use axum::extract::State;

use super::Web;
use crate::orchestrator::DiscoveryState;

/// What of them is routed, and what is not and why.
pub(super) async fn show(State(web): State<Web>) -> Json<DiscoveryState> {
    Json(web.inner.orchestrator.discovered())
}
