//! What is done with an archive: verified, pinned, removed.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::domain::environment::{ArchiveRecord, RemovalReason};
use crate::domain::event::{EventKind, EventSource, EventState, NewEvent};
use crate::domain::time::Timestamp;
use crate::ports::PortError;

use super::Web;
use super::error::ApiError;
use super::extract::Path;

/// What reading an archive back has shown.
#[derive(Debug, Serialize)]
pub(super) struct Verification {
    pub(super) id: String,
    pub(super) whole: bool,
    /// What is wrong, when it is not whole.
    pub(super) reason: Option<String>,
    pub(super) verified_at: Option<Timestamp>,
}

pub(super) async fn verify(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<Verification>, ApiError> {
    let house = web.inner.orchestrator.house();
    kept(&web, &id).await?;
    let reason = match house.ports.archives.verify(&id).await {
        Ok(()) => None,
        Err(error @ (PortError::Permanent(_) | PortError::Refused(_) | PortError::NotFound(_))) => {
            Some(error.to_string())
        }
        Err(error @ (PortError::Transient(_) | PortError::NoRoom(_) | PortError::Cancelled)) => {
            return Err(error.into());
        }
    };
    if let Some(reason) = &reason {
        tracing::error!(archive.id = id, reason, "an archive is damaged");
    }
    let verified_at = reason.is_none().then(|| house.ports.clock.now());
    house.store.archive_verified(&id, verified_at).await?;
    Ok(Json(Verification { id, whole: reason.is_none(), reason, verified_at }))
}

pub(super) async fn pin(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<ArchiveRecord>, ApiError> {
    set_pinned(&web, &id, true).await
}

pub(super) async fn unpin(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<ArchiveRecord>, ApiError> {
    set_pinned(&web, &id, false).await
}

/// Answers when file, commit and images are gone.
pub(super) async fn remove(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<ArchiveRecord>, ApiError> {
    let archive = kept(&web, &id).await?;
    let kind = EventKind::ArchiveRemoval {
        branch: archive.branch,
        archive: archive.id,
        reason: RemovalReason::Asked,
    };
    let event =
        NewEvent { source: EventSource::Cli, repo: archive.repo, kind, delivery_id: None, skip: false };
    let orchestrator = &web.inner.orchestrator;
    let submitted = orchestrator.submit(None, &[event]).await?.into_iter().next();
    let ended = match submitted {
        Some(submitted) => orchestrator.removal_ended(submitted.event.id).await?,
        None => None,
    };
    let Some(event) = ended else { return Err(ApiError::unavailable("the event was not taken")) };
    let reason = event.reason.unwrap_or_default();
    match event.state {
        EventState::Done => {}
        EventState::Ignored => return Err(ApiError::conflict(reason)),
        EventState::Failed => return Err(ApiError::unavailable(reason)),
        EventState::Pending => {
            let message = "it cannot be removed now and will be tried again; the daemon's log says why";
            return Err(ApiError::unavailable(message));
        }
    }
    find(&web, &id).await.map(Json)
}

async fn set_pinned(web: &Web, id: &str, pinned: bool) -> Result<Json<ArchiveRecord>, ApiError> {
    kept(web, id).await?;
    let changed = web.inner.orchestrator.house().store.pin_archive(id, pinned).await?;
    changed.map(Json).ok_or_else(|| ApiError::conflict(format!("archive {id} was removed just now")))
}

/// The record, removed or not.
pub(super) async fn find(web: &Web, id: &str) -> Result<ArchiveRecord, ApiError> {
    let record = web.inner.orchestrator.house().store.archive(id).await?;
    record.ok_or_else(|| ApiError::not_found(format!("no archive has the id {id}")))
}

/// The record of an archive that was not removed.
pub(super) async fn kept(web: &Web, id: &str) -> Result<ArchiveRecord, ApiError> {
    let record = find(web, id).await?;
    match (record.removed_at, record.removed_reason) {
        (None, _) => Ok(record),
        (Some(at), reason) => {
            let why = reason.map_or("", RemovalReason::text);
            Err(ApiError::conflict(format!("archive {id} was removed at {at}: {why}")))
        }
    }
}
