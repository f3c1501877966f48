//! Events: seen, and taken once more.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::domain::event::EventId;
use crate::domain::names::{BranchName, RepoName};
use crate::store::EventFilter;

use super::Web;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::view::{EventView, List};

/// Most events of one answer.
const PAGE: u32 = 100;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    repo: Option<String>,
    branch: Option<String>,
    before: Option<i64>,
}

pub(super) async fn list(
    State(web): State<Web>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<EventView>>, ApiError> {
    let filter = EventFilter {
        repo: query.repo.as_deref().map(RepoName::parse).transpose()?,
        branch: query.branch.as_deref().map(BranchName::parse_any).transpose()?,
        before: query.before.map(EventId),
        limit: PAGE,
    };
    let events = web.inner.orchestrator.house().store.events(&filter).await?;
    let full = u32::try_from(events.len()).is_ok_and(|count| count == PAGE);
    let next = events.last().filter(|_| full).map(|last| last.id.0.to_string());
    Ok(Json(List { items: events.into_iter().map(EventView::from).collect(), next }))
}

pub(super) async fn show(State(web): State<Web>, Path(id): Path<i64>) -> Result<Json<EventView>, ApiError> {
    let event = web.inner.orchestrator.house().store.event(EventId(id)).await?;
    event
        .map(|event| Json(event.into()))
        .ok_or_else(|| ApiError::not_found(format!("no event has the id {id}")))
}

pub(super) async fn replay(State(web): State<Web>, Path(id): Path<i64>) -> Result<Json<EventView>, ApiError> {
    let replayed = web.inner.orchestrator.replay(EventId(id)).await?;
    replayed
        .map(|event| Json(event.into()))
        .ok_or_else(|| ApiError::not_found(format!("no event has the id {id}")))
}
