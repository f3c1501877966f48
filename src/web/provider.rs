//! The proxy in front: how it stands, and what is written for it.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Web;
use super::error::ApiError;
use crate::domain::provider::ProviderStatus;

pub(super) async fn status(State(web): State<Web>) -> Json<ProviderStatus> {
    Json(web.inner.orchestrator.house().ports.provider.status())
}

pub(super) async fn files(State(web): State<Web>) -> Result<Json<Value>, ApiError> {
    let items = web.inner.orchestrator.house().ports.provider.render().await?;
    Ok(Json(json!({"items": items, "next": null})))
}
