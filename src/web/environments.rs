//! Environments: seen, and asked of.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::environment::Environment;
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::{BranchName, RepoName};

use super::Web;
use super::error::ApiError;
use super::extract::{JsonBody, Path, Query};
use super::view::{EnvironmentView, List};

/// `{repo}/{branch}`, the branch percent-encoded as one part.
pub(super) type Named = Path<(String, String)>;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    /// Ended ones too.
    #[serde(default)]
    all: bool,
}

pub(super) async fn list(
    State(web): State<Web>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<EnvironmentView>>, ApiError> {
    let orchestrator = &web.inner.orchestrator;
    let mut items = Vec::new();
    for environment in orchestrator.house().store.environments(query.all).await? {
        items.push(EnvironmentView::of(orchestrator, environment).await?);
    }
    items.sort_by(|one, other| (&one.repo, &one.branch).cmp(&(&other.repo, &other.branch)));
    Ok(Json(List { items, next: None }))
}

pub(super) async fn show(State(web): State<Web>, named: Named) -> Result<Json<EnvironmentView>, ApiError> {
    let environment = find(&web, named).await?;
    Ok(Json(EnvironmentView::of(&web.inner.orchestrator, environment).await?))
}

pub(super) async fn deployments(State(web): State<Web>, named: Named) -> Result<Json<Value>, ApiError> {
    let environment = find(&web, named).await?;
    let deployments = web.inner.orchestrator.house().store.deployments(environment.id).await?;
    Ok(Json(json!({"items": deployments, "next": null})))
}

#[derive(Deserialize)]
pub(super) struct DeployBody {
    #[serde(default)]
    rebuild: bool,
    #[serde(default)]
    pull: bool,
}

pub(super) async fn deploy(
    State(web): State<Web>,
    named: Named,
    JsonBody(body): JsonBody<DeployBody>,
) -> Result<Json<Value>, ApiError> {
    let (repo, branch) = parsed(named)?;
    require_branch(&web, &repo, &branch).await?;
    let kind = EventKind::DeployRequested { branch, rebuild: body.rebuild, pull: body.pull };
    ask(&web, repo, kind).await
}

pub(super) async fn archive(State(web): State<Web>, named: Named) -> Result<Json<Value>, ApiError> {
    end(&web, named, true).await
}

pub(super) async fn destroy(State(web): State<Web>, named: Named) -> Result<Json<Value>, ApiError> {
    end(&web, named, false).await
}

pub(super) async fn sleep(State(web): State<Web>, named: Named) -> Result<Json<Value>, ApiError> {
    let environment = find_live(&web, named).await?;
    let why = "somebody asked for it; a visit wakes it".to_owned();
    let kind = EventKind::SleepRequested { branch: environment.branch, why, gives_way: false };
    ask(&web, environment.repo, kind).await
}

pub(super) async fn wake(State(web): State<Web>, named: Named) -> Result<Json<Value>, ApiError> {
    let environment = find_live(&web, named).await?;
    ask(&web, environment.repo, EventKind::WakeRequested { branch: environment.branch }).await
}

pub(super) async fn pin(State(web): State<Web>, named: Named) -> Result<Json<EnvironmentView>, ApiError> {
    set_pinned(&web, named, true).await
}

pub(super) async fn unpin(State(web): State<Web>, named: Named) -> Result<Json<EnvironmentView>, ApiError> {
    set_pinned(&web, named, false).await
}

async fn end(web: &Web, named: Named, archive: bool) -> Result<Json<Value>, ApiError> {
    let environment = find_live(web, named).await?;
    ask(web, environment.repo, EventKind::EndRequested { branch: environment.branch, archive }).await
}

async fn set_pinned(web: &Web, named: Named, pinned: bool) -> Result<Json<EnvironmentView>, ApiError> {
    let environment = find_live(web, named).await?;
    let orchestrator = &web.inner.orchestrator;
    let house = orchestrator.house();
    house.store.set_pinned(environment.id, pinned, house.ports.clock.now()).await?;
    Ok(Json(EnvironmentView::of(orchestrator, Environment { pinned, ..environment }).await?))
}

/// Submits the wish as an event, like everybody else.
async fn ask(web: &Web, repo: RepoName, kind: EventKind) -> Result<Json<Value>, ApiError> {
    let event = NewEvent { source: EventSource::Cli, repo, kind, delivery_id: None, skip: false };
    let submitted = web.inner.orchestrator.submit(None, &[event]).await?;
    let Some(first) = submitted.into_iter().next() else {
        return Err(ApiError::unavailable("the event was not taken"));
    };
    if first.action == "ignored" {
        return Err(ApiError::conflict(first.message.unwrap_or_default()));
    }
    let generation = first.environment.as_ref().map(|environment| environment.generation);
    Ok(Json(json!({"action": first.action, "generation": generation, "message": first.message})))
}

/// A branch without an environment must at least be one: nothing is made for a slip of the pen.
async fn require_branch(web: &Web, repo: &RepoName, branch: &BranchName) -> Result<(), ApiError> {
    let house = web.inner.orchestrator.house();
    let settings = house.settings();
    let repository = settings.repositories.get(repo);
    let repository =
        repository.ok_or_else(|| ApiError::not_found(format!("no repository is named {repo}")))?;
    if house.store.live_environment(repo, branch).await?.is_some() {
        return Ok(());
    }
    if house.ports.git.branches(&repository.remote).await?.contains_key(branch) {
        return Ok(());
    }
    Err(ApiError::not_found(format!("{repo} has no branch {branch}")))
}

pub(super) async fn find(web: &Web, named: Named) -> Result<Environment, ApiError> {
    let (repo, branch) = parsed(named)?;
    let found = web.inner.orchestrator.house().store.latest_environment(&repo, &branch).await?;
    found.ok_or_else(|| ApiError::not_found(format!("no environment of {repo}/{branch}")))
}

pub(super) async fn find_live(web: &Web, named: Named) -> Result<Environment, ApiError> {
    let environment = find(web, named).await?;
    if environment.phase.is_over() {
        return Err(ApiError::not_found(format!("{} is {}", environment.name(), environment.phase.word())));
    }
    Ok(environment)
}

fn parsed(Path((repo, branch)): Named) -> Result<(RepoName, BranchName), ApiError> {
    Ok((RepoName::parse(&repo)?, BranchName::parse_any(&branch)?))
}
