//! Letting the code of a fork run.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::names::CommitSha;
use crate::orchestrator::ApprovalRefused;

use super::Web;
use super::access::Asker;
use super::environments::{Named, find_live};
use super::error::ApiError;
use super::extract::JsonBody;

#[derive(Deserialize)]
pub(super) struct ApproveBody {
    /// All of it: whoever approves has looked at it.
    commit: String,
}

pub(super) async fn approve(
    State(web): State<Web>,
    Extension(asker): Extension<Asker>,
    named: Named,
    JsonBody(body): JsonBody<ApproveBody>,
) -> Result<Json<Value>, ApiError> {
    let environment = find_live(&web, named).await?;
    let commit = CommitSha::parse(&body.commit)?;
    let submitted = web.inner.orchestrator.approve(&environment, &commit, &asker.0).await?;
    let generation = submitted.environment.as_ref().map(|environment| environment.generation);
    Ok(Json(json!({"action": submitted.action, "generation": generation, "message": submitted.message})))
}

impl From<ApprovalRefused> for ApiError {
    fn from(refused: ApprovalRefused) -> Self {
        match refused {
            ApprovalRefused::Refused(reason) => Self::conflict(reason),
            ApprovalRefused::Store(error) => error.into(),
        }
    }
}
