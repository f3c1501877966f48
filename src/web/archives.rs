//! Archives, repositories, backup.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::environment::ArchiveRecord;
use crate::domain::names::RepoName;
use crate::store::ArchiveFilter;

use super::Web;
use super::error::ApiError;
use super::extract::{JsonBody, Path, Query};
use super::keeping;
use super::view::List;

/// Most archives of one answer.
const PAGE: u32 = 100;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    repo: Option<String>,
    before: Option<String>,
    /// Removed ones too.
    #[serde(default)]
    all: bool,
}

pub(super) async fn list(
    State(web): State<Web>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<ArchiveRecord>>, ApiError> {
    let repo = query.repo.as_deref().map(RepoName::parse).transpose()?;
    let filter = ArchiveFilter { repo, before: query.before, removed: query.all, limit: PAGE };
    let items = web.inner.orchestrator.house().store.archives(&filter).await?;
    let full = u32::try_from(items.len()).is_ok_and(|count| count == PAGE);
    let next = items.last().filter(|_| full).map(|last| last.id.clone());
    Ok(Json(List { items, next }))
}

/// The record, and the manifest out of the file; none when the archive was removed or its file is damaged, which is
/// told under `damage`.
pub(super) async fn show(State(web): State<Web>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let record = keeping::find(&web, &id).await?;
    let archives = &web.inner.orchestrator.house().ports.archives;
    let (manifest, damage) = match record.removed_at {
        Some(_) => (Value::Null, None),
        None => match archives.manifest(&record.id).await {
            Ok(manifest) => (manifest, None),
            Err(error) => (Value::Null, Some(error.to_string())),
        },
    };
    let mut shown = json!(record);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("manifest".to_owned(), manifest);
        shown.insert("damage".to_owned(), json!(damage));
    }
    Ok(Json(shown))
}

pub(super) async fn repositories(State(web): State<Web>) -> Result<Json<Value>, ApiError> {
    let untold = web.inner.orchestrator.house().store.outbox_waiting().await?;
    let served = web.inner.served.load();
    let shown = |(repo, view)| with_reports(with_remote(&web, repo, view), repo, &untold);
    let items: Vec<Value> = served.repositories.iter().map(shown).collect();
    Ok(Json(json!({"items": items, "next": null})))
}

pub(super) async fn repository(
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let repo = RepoName::parse(&name)?;
    let untold = web.inner.orchestrator.house().store.outbox_waiting().await?;
    let served = web.inner.served.load();
    let shown = |view| with_reports(with_remote(&web, &repo, view), &repo, &untold);
    let found = served.repositories.get(&repo).map(shown);
    found.map(Json).ok_or_else(|| ApiError::not_found(format!("no repository is named {name}")))
}

/// With what its forge does not know yet.
fn with_reports(mut view: Value, repo: &RepoName, untold: &[(RepoName, u64, Option<String>)]) -> Value {
    let ours = untold.iter().find(|(of, ..)| of == repo);
    view["reports_waiting"] = json!(ours.map_or(0, |(_, waiting, _)| *waiting));
    view["report_error"] = json!(ours.and_then(|(_, _, error)| error.as_ref()));
    view
}

/// With how its remote answered last.
fn with_remote(web: &Web, repo: &RepoName, view: &Value) -> Value {
    let state = web.inner.orchestrator.house().remotes.state(repo);
    let mut view = view.clone();
    view["last_polled_at"] = json!(state.last_polled_at);
    view["poll_error"] = json!(state.poll_error);
    view
}

#[derive(Deserialize)]
pub(super) struct BackupBody {
    /// Absolute; must not be there.
    path: PathBuf,
}

pub(super) async fn backup(
    State(web): State<Web>,
    JsonBody(body): JsonBody<BackupBody>,
) -> Result<Json<Value>, ApiError> {
    if !body.path.is_absolute() || body.path.starts_with(&web.inner.data_dir) {
        return Err(ApiError::bad_request("path: must be absolute and outside of the data directory"));
    }
    web.inner
        .orchestrator
        .house()
        .store
        .backup(&body.path)
        .await
        .map_err(|error| ApiError::conflict(error.to_string()))?;
    Ok(Json(json!({"path": body.path})))
}
