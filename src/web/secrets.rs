//! Secrets of repositories: set, listed, removed. No answer has a value.

use axum::Json;
use axum::extract::State;
use data_encoding::BASE64;
use serde::Deserialize;

use crate::domain::names::RepoName;
use crate::domain::secrets::{EVERY_BRANCH, Secret, SecretName, check_pattern, check_value};
use crate::orchestrator::SecretFailed;

use super::Web;
use super::error::ApiError;
use super::extract::{JsonBody, Query};
use super::view::List;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    repo: Option<String>,
}

pub(super) async fn list(
    State(web): State<Web>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Secret>>, ApiError> {
    let repo = query.repo.as_deref().map(RepoName::parse).transpose()?;
    let found = web.inner.orchestrator.house().store.secrets(repo.as_ref()).await?;
    Ok(Json(List { items: found.into_iter().map(|it| it.secret).collect(), next: None }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSecret {
    repo: String,
    name: String,
    branches: Option<String>,
    /// In base64: a value may be any bytes.
    value: String,
}

pub(super) async fn set(
    State(web): State<Web>,
    JsonBody(asked): JsonBody<NewSecret>,
) -> Result<Json<Secret>, ApiError> {
    let (repo, name) = (known(&web, &asked.repo)?, SecretName::parse(&asked.name)?);
    let branches = asked.branches.unwrap_or_else(|| EVERY_BRANCH.to_owned());
    check_pattern(&branches)?;
    let value = BASE64
        .decode(asked.value.as_bytes())
        .map_err(|error| ApiError::bad_request(format!("value: is no base64: {error}")))?;
    check_value(&value)?;
    let house = web.inner.orchestrator.house();
    let now = house.ports.clock.now();
    let there = house.store.secrets(Some(&repo)).await?;
    let before = there.iter().find(|it| it.secret.name == name && it.secret.branches == branches);
    let created_at = before.map_or(now, |it| it.secret.created_at);
    let secret = Secret { repo, name, branches, created_at, updated_at: now };
    web.inner.orchestrator.set_secret(secret.clone(), &value).await?;
    Ok(Json(secret))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    repo: String,
    name: String,
    branches: Option<String>,
}

pub(super) async fn remove(
    State(web): State<Web>,
    JsonBody(asked): JsonBody<Named>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let (repo, name) = (RepoName::parse(&asked.repo)?, SecretName::parse(&asked.name)?);
    let branches = asked.branches.unwrap_or_else(|| EVERY_BRANCH.to_owned());
    if !web.inner.orchestrator.remove_secret(&repo, &name, &branches).await? {
        return Err(ApiError::not_found(format!(
            "{repo} has no secret {name} for {branches}; `drey secret list --repo {repo}` shows what there is"
        )));
    }
    Ok(Json(serde_json::json!({"repo": repo, "name": name, "branches": branches})))
}

fn known(web: &Web, name: &str) -> Result<RepoName, ApiError> {
    let repo = RepoName::parse(name)?;
    match web.inner.orchestrator.house().settings().repositories.contains_key(&repo) {
        true => Ok(repo),
        false => Err(ApiError::not_found(format!("no repository is named {name}"))),
    }
}

impl From<SecretFailed> for ApiError {
    fn from(failed: SecretFailed) -> Self {
        match failed {
            SecretFailed::Port(error) => error.into(),
            SecretFailed::Store(error) => error.into(),
            SecretFailed::Missing(message) => Self::conflict(message),
        }
    }
}

impl From<crate::domain::secrets::SecretError> for ApiError {
    fn from(error: crate::domain::secrets::SecretError) -> Self {
        Self::bad_request(error.to_string())
    }
}
