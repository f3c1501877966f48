//! How one environment stands, and the log of its newest deployment.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::domain::dashboard::Place;
use crate::domain::environment::Deployment;
use crate::web::environments::{Named, find};
use crate::web::error::ApiError;
use crate::web::{EnvironmentView, Web};

use super::guard::SignedIn;
use super::refusal::Refusal;
use super::render;
use super::who::{Who, moment, tone};

/// Lines that a page shows: the last ones, since a log says at its end why it ended.
const LINES: usize = 2000;
/// Most characters of one line.
const LINE_LENGTH: usize = 4000;
/// Seconds after which a page is loaded again, as long as something is done for its environment.
const AGAIN: u32 = 3;

#[derive(Serialize)]
struct Shown {
    who: Who,
    refresh: Option<u32>,
    tone: &'static str,
    environment: EnvironmentView,
    name: String,
    /// Where its archives are, when it is over.
    archive: Option<String>,
    updated: String,
    deployment: Option<ShownDeployment>,
}

#[derive(Serialize)]
struct ShownDeployment {
    state: &'static str,
    commit: Option<String>,
    began: String,
    ended: Option<String>,
    plan: String,
    lines: Vec<String>,
    /// Lines before those.
    left_out: usize,
}

pub(in crate::web) async fn show(
    State(web): State<Web>,
    Extension(signed_in): Extension<SignedIn>,
    named: Result<Named, ApiError>,
) -> Result<Response, Refusal> {
    let environment = find(&web, named?).await?;
    let house = web.inner.orchestrator.house();
    let newest = house.store.deployments(environment.id).await?.into_iter().next();
    let deployment = match newest {
        Some(newest) => {
            let lines = house.ports.logs.read(environment.id, newest.id).await.map_err(ApiError::from)?;
            Some(shown_deployment(newest, lines))
        }
        None => None,
    };
    let is_over = environment.phase.is_over();
    let newest = Place::Newest(environment.repo.clone(), environment.branch.clone());
    let shown = Shown {
        who: signed_in.who(),
        refresh: environment.has_work().then_some(AGAIN),
        tone: tone(environment.phase),
        name: environment.name(),
        archive: is_over.then(|| newest.path()),
        updated: moment(environment.updated_at),
        deployment,
        environment: EnvironmentView::of(&web.inner.orchestrator, environment).await?,
    };
    Ok(render::page(StatusCode::OK, "log.html", &shown))
}

fn shown_deployment(deployment: Deployment, lines: Vec<String>) -> ShownDeployment {
    let left_out = lines.len().saturating_sub(LINES);
    let cut = |line: String| line.chars().take(LINE_LENGTH).collect();
    ShownDeployment {
        state: deployment.state.word(),
        commit: deployment.commit.map(|commit| commit.short().to_owned()),
        began: moment(deployment.started_at),
        ended: deployment.finished_at.map(moment),
        plan: deployment.plan,
        lines: lines.into_iter().skip(left_out).map(cut).collect(),
        left_out,
    }
}
