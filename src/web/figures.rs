//! `/metrics`: what was counted on the way, and how things stand now.

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::domain::environment::Phase;
use crate::domain::time::Timestamp;
use crate::orchestrator::House;
use crate::ports::meters;
use crate::store::Figures;

use super::Web;
use super::access;
use super::error::ApiError;

/// The form that every version of Prometheus reads.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Prometheus' text format. Answers also when the database does not: then without what only it knows.
pub(super) async fn metrics(State(web): State<Web>, request: Request) -> Result<Response, ApiError> {
    let peer = request.extensions().get::<access::Peer>().copied();
    let with_branches = access::may_hear_names(&web, peer, request.headers()).await;
    let house = web.inner.orchestrator.house();
    match house.store.figures().await {
        Ok(figures) => set(house, &figures),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer: its figures are of the last time");
        }
    }
    meters::count_is("drey_task_panics_total", u64::try_from(house.supervisor.panics()).unwrap_or(u64::MAX));
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], (web.inner.render)(with_branches)).into_response())
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows floating point numbers only")]
fn set(house: &House, figures: &Figures) {
    for phase in Phase::ALL.into_iter().filter(|phase| !phase.is_over()) {
        let of = figures.environments.iter().find(|(found, _)| *found == phase);
        let count = of.map_or(0, |(_, count)| *count);
        meters::set_of("drey_environments", ("phase", phase.word()), count as f64);
    }
    let now = house.ports.clock.now();
    let age = |moment: Option<Timestamp>| moment.map_or(0.0, |moment| now.since(moment).as_secs_f64());
    for (name, value) in [
        ("drey_environments_with_work", figures.with_work as f64),
        ("drey_work_oldest_seconds", age(figures.oldest_work)),
        ("drey_events_pending", figures.events_pending as f64),
        ("drey_event_oldest_pending_seconds", age(figures.oldest_pending)),
        ("drey_deployments_running", figures.deployments_running as f64),
        ("drey_archives", figures.archives as f64),
        ("drey_archives_bytes", figures.archive_bytes as f64),
    ] {
        meters::set(name, value);
    }
}

/// Around the answer to a hook.
pub(super) async fn hook(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    meters::hook_answered(response.status().as_u16(), begun.elapsed());
    response
}
