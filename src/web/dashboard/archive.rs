//! An archive: what it holds, and the button that brings it back.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use crate::domain::access::Role;
use crate::domain::dashboard::Place;
use crate::domain::environment::{ArchiveRecord, Outcome, RemovalReason};
use crate::web::environments::{Named, find};
use crate::web::error::ApiError;
use crate::web::extract::Path;
use crate::web::{Web, keeping};

use super::form::OwnForm;
use super::guard::SignedIn;
use super::refusal::{Refusal, see_other};
use super::render;
use super::who::{Who, moment, size};

#[derive(Serialize)]
struct Shown {
    who: Who,
    id: String,
    name: String,
    why: &'static str,
    created: String,
    commit: Option<String>,
    size: String,
    verified: Option<String>,
    pinned: bool,
    removed: Option<String>,
    /// Why its file cannot be read.
    damage: Option<String>,
    services: Vec<String>,
    volumes: Vec<String>,
    has_images: bool,
    /// Where the environment's log is.
    log: String,
    /// The branch has an environment: this one gets a name beside it.
    is_alive: bool,
    may_restore: bool,
}

pub(in crate::web) async fn show(
    State(web): State<Web>,
    Extension(signed_in): Extension<SignedIn>,
    id: Result<Path<String>, ApiError>,
) -> Result<Response, Refusal> {
    let Path(id) = id?;
    let record = keeping::find(&web, &id).await?;
    let house = web.inner.orchestrator.house();
    let (manifest, damage) = match record.removed_at {
        Some(_) => (Value::Null, None),
        None => match house.ports.archives.manifest(&record.id).await {
            Ok(manifest) => (manifest, None),
            Err(error) => (Value::Null, Some(error.to_string())),
        },
    };
    let is_alive = house.store.live_environment(&record.repo, &record.branch).await?.is_some();
    let shown = Shown {
        who: signed_in.who(),
        may_restore: signed_in.token.role >= Role::Developer,
        name: format!("{}/{}", record.repo, record.branch),
        why: why(record.outcome),
        created: moment(record.created_at),
        commit: record.commit.as_ref().map(ToString::to_string),
        size: size(record.size_bytes),
        verified: record.verified_at.map(moment),
        pinned: record.pinned,
        removed: removed(&record),
        damage,
        services: keys(&manifest["services"]),
        volumes: volumes(&manifest["volumes"]),
        has_images: manifest["has_images"] == true,
        log: Place::Log(record.repo, record.branch).path(),
        is_alive,
        id: record.id,
    };
    Ok(render::page(StatusCode::OK, "archive.html", &shown))
}

/// Leads on to the newest archive of a branch.
pub(in crate::web) async fn newest(
    State(web): State<Web>,
    named: Result<Named, ApiError>,
) -> Result<Response, Refusal> {
    let environment = find(&web, named?).await?;
    let kept = web.inner.orchestrator.house().store.kept_archives().await?;
    let of_branch =
        kept.into_iter().filter(|it| it.repo == environment.repo && it.branch == environment.branch);
    let newest = of_branch.max_by_key(|it| it.created_at).map(|it| it.id);
    let Some(id) = newest else {
        return Err(Refusal::not_found(
            "Nothing was kept",
            format!(
                "There is no archive of {}: it was taken down without one, its archive was removed since, or it is \
                 still being written. Pushing to the branch brings it back, fresh.",
                environment.name()
            ),
        ));
    };
    Ok(see_other(&Place::Archive(id).path())?)
}

/// As the API restores; then to the log of what becomes of it.
pub(in crate::web) async fn restore(
    State(web): State<Web>,
    id: Result<Path<String>, ApiError>,
    OwnForm(_signed_in): OwnForm,
) -> Result<Response, Refusal> {
    let Path(id) = id?;
    keeping::kept(&web, &id).await?;
    let submitted = web.inner.orchestrator.restore(&id).await.map_err(ApiError::from)?;
    let Some(environment) = submitted.environment else {
        return Err(ApiError::conflict(submitted.message.unwrap_or_default()).into());
    };
    Ok(see_other(&Place::Log(environment.repo, environment.branch).path())?)
}

fn removed(record: &ArchiveRecord) -> Option<String> {
    let at = moment(record.removed_at?);
    let why = record.removed_reason.map_or("", RemovalReason::text);
    Some(format!("{at}: {why}"))
}

const fn why(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Merged => "the branch was merged",
        Outcome::Deleted => "the branch was deleted",
        Outcome::Expired => "nobody used it for a long time, or its pull request was closed",
        Outcome::Manual => "somebody asked for it",
    }
}

fn keys(value: &Value) -> Vec<String> {
    value.as_object().map(|services| services.keys().cloned().collect()).unwrap_or_default()
}

fn volumes(value: &Value) -> Vec<String> {
    let key = |volume: &Value| volume["key"].as_str().map(str::to_owned);
    value.as_array().into_iter().flatten().filter_map(key).collect()
}
