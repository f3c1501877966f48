//! The first page: all environments, and what was kept of those that ended.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::domain::dashboard::Place;
use crate::domain::environment::Environment;
use crate::store::ArchiveFilter;
use crate::web::Web;

use super::guard::SignedIn;
use super::refusal::Refusal;
use super::render;
use super::who::{Who, moment, tone};

/// Archives on the page, the newest.
const ARCHIVES: u32 = 50;

#[derive(Serialize)]
struct Shown {
    who: Who,
    environments: Vec<Line>,
    archives: Vec<Line>,
}

/// One environment or archive.
#[derive(Serialize)]
struct Line {
    name: String,
    /// Of ours.
    path: String,
    /// Where the branch itself is.
    url: Option<String>,
    word: &'static str,
    tone: &'static str,
    at: String,
}

pub(in crate::web) async fn show(
    State(web): State<Web>,
    Extension(signed_in): Extension<SignedIn>,
) -> Result<Response, Refusal> {
    let house = web.inner.orchestrator.house();
    let settings = house.settings();
    let line = |it: Environment| Line {
        name: it.name(),
        url: Some(settings.address.url(&settings.address.primary_host(&it.slug))),
        word: it.phase.word(),
        tone: tone(it.phase),
        at: moment(it.updated_at),
        path: Place::Log(it.repo, it.branch).path(),
    };
    let mut environments: Vec<Line> = house.store.environments(false).await?.into_iter().map(line).collect();
    environments.sort_by(|one, other| one.name.cmp(&other.name));
    let filter = ArchiveFilter { limit: ARCHIVES, ..ArchiveFilter::default() };
    let archives = house.store.archives(&filter).await?.into_iter().map(|it| Line {
        name: format!("{}/{}", it.repo, it.branch),
        path: Place::Archive(it.id).path(),
        url: None,
        word: it.outcome.word(),
        tone: "still",
        at: moment(it.created_at),
    });
    let shown = Shown { who: signed_in.who(), environments, archives: archives.collect() };
    Ok(render::page(StatusCode::OK, "home.html", &shown))
}
