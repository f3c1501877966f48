//! The log of an environment's deployments, at once or as it is written.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::domain::environment::{Environment, Phase};
use crate::domain::names::Generation;
use crate::domain::text::escape_json;

use super::Web;
use super::environments::{Named, find};
use super::error::ApiError;
use super::extract::Query;
use super::follow::{Followed, Wanted, follow};
use super::link::link_to;

/// Lines that wait for a slow reader.
const LINE_BUFFER: usize = 256;
/// How long a pusher waits at most, for all branches of the push; then the deployments go on alone.
const WAIT_LIMIT: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
pub(super) struct LogQuery {
    /// Go on with what comes, until the work is done.
    #[serde(default)]
    follow: bool,
    /// With `follow`: from the deployment of this generation on, which may not have begun yet.
    generation: Option<i64>,
}

/// Text, one line a line: the newest deployment's log.
pub(super) async fn log(
    State(web): State<Web>,
    named: Named,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let environment = find(&web, named).await?;
    let house = web.inner.orchestrator.house().clone();
    let (sender, receiver) = mpsc::channel(LINE_BUFFER);
    let from =
        query.generation.map(Generation).or_else(|| environment.has_work().then_some(environment.generation));
    if let Some(from) = from.filter(|_| query.follow) {
        let wanted = Wanted { environment: environment.id, from, deadline: None };
        house.supervisor.faces().spawn("log", async move {
            follow(&web, wanted, &sender, |line| format!("{line}\n")).await;
        });
    } else {
        let newest = house.store.deployments(environment.id).await?.into_iter().next();
        let lines = match newest {
            Some(deployment) => house.ports.logs.read(environment.id, deployment.id).await?,
            None => Vec::new(),
        };
        house.supervisor.faces().spawn("log", async move {
            for line in lines {
                if sender.send(format!("{line}\n")).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], body_of(receiver)).into_response())
}

/// Lines of JSON for a pusher that waits, branch after branch: `{"log"}` as it is written, and for each branch
/// `{"branch","result","url","link","reason"}` at its end. Ten minutes are given to all of them together.
pub(super) async fn tell_until_settled(
    web: &Web,
    environments: &[Environment],
    sender: &mpsc::Sender<String>,
) {
    let deadline = Some(Instant::now() + WAIT_LIMIT);
    for environment in environments {
        if environments.len() > 1 && environment.has_work() {
            let heading = json!({"log": format!("drey: {}:", environment.branch)});
            sender.send(json_line(&heading)).await.ok();
        }
        let followed = if environment.has_work() {
            let wanted = Wanted { environment: environment.id, from: environment.generation, deadline };
            follow(web, wanted, sender, |line| json_line(&json!({"log": line}))).await
        } else {
            Followed::Settled(Box::new(environment.clone()))
        };
        let house = web.inner.orchestrator.house();
        let settings = house.settings();
        let address = &settings.address;
        let url = address.url(&address.primary_host(&environment.slug));
        let link = link_to(house, environment);
        let Some((result, reason)) = end(followed) else { return };
        let branch = &environment.branch;
        let last = json!({"branch": branch, "result": result, "url": url, "link": link, "reason": reason});
        if sender.send(json_line(&last)).await.is_err() {
            return;
        }
    }
}

/// One line of JSON that steers no terminal.
pub(super) fn json_line(value: &Value) -> String {
    escape_json(&value.to_string()) + "\n"
}

/// How it ended, and why it is not ready; nothing when nobody reads any more.
fn end(followed: Followed) -> Option<(&'static str, Value)> {
    match followed {
        Followed::Settled(environment) if environment.phase == Phase::Ready => Some(("ready", Value::Null)),
        Followed::Settled(environment) => Some((environment.phase.word(), json!(environment.reason))),
        Followed::TimeIsUp => Some(("unfinished", json!("not done within ten minutes; it goes on"))),
        Followed::Draining => Some(("unfinished", json!("drey ends; its next start goes on"))),
        Followed::ReaderGone => None,
    }
}

/// A body that flows as the lines come.
pub(super) fn body_of(receiver: mpsc::Receiver<String>) -> Body {
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(line)), receiver))
    }))
}
