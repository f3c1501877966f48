//! The log of an environment's deployments, and following one to its end.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

use crate::domain::environment::{Environment, Phase};
use crate::domain::names::{EnvironmentId, Generation};

use super::Web;
use super::environments::{Named, find};
use super::error::ApiError;

/// Lines that wait for a slow reader.
const LINE_BUFFER: usize = 256;
/// How long a pusher waits at most; then the deployment goes on alone.
pub(super) const WAIT_LIMIT: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
pub(super) struct LogQuery {
    /// Go on with what comes, until the work is done.
    #[serde(default)]
    follow: bool,
}

/// Text, one line a line: the newest deployment's log.
pub(super) async fn log(
    State(web): State<Web>,
    named: Named,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let environment = find(&web, named).await?;
    let house = web.inner.orchestrator.house().clone();
    let news = house.ports.logs.follow(environment.id);
    let newest = house.store.deployments(environment.id).await?.into_iter().next();
    let lines = match newest {
        Some(deployment) => house.ports.logs.read(environment.id, deployment.id).await?,
        None => Vec::new(),
    };
    let (sender, receiver) = mpsc::channel(LINE_BUFFER);
    let follow = query.follow && environment.has_work();
    house.supervisor.clone().spawn("log", async move {
        for line in lines {
            if sender.send(format!("{line}\n")).await.is_err() {
                return;
            }
        }
        if follow {
            let text = |line: &str| format!("{line}\n");
            until_settled(&web, (environment.id, environment.generation), news, &sender, text).await;
        }
    });
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], body_of(receiver)).into_response())
}

/// Lines of JSON for a pusher that waits: `{"log"}` as things happen, `{"result","url","reason"}` at the end.
pub(super) async fn tell_until_settled(web: &Web, environment: &Environment, sender: &mpsc::Sender<String>) {
    let house = web.inner.orchestrator.house();
    let news = house.ports.logs.follow(environment.id);
    let line = |line: &str| format!("{}\n", json!({"log": line}));
    let waited = until_settled(web, (environment.id, environment.generation), news, sender, line);
    let settled = tokio::time::timeout(WAIT_LIMIT, waited).await.ok().flatten();
    let address = &house.settings.address;
    let url = address.url(&address.primary_host(&environment.slug));
    let result = match &settled {
        Some(environment) if environment.phase == Phase::Ready => {
            json!({"result": "ready", "url": url, "reason": null})
        }
        Some(environment) => json!({
            "result": "failed", "url": url,
            "reason": environment.reason.clone().unwrap_or_else(|| environment.phase.word().to_owned()),
        }),
        None => json!({"result": "failed", "url": url, "reason": "not done within ten minutes; it goes on"}),
    };
    sender.send(format!("{result}\n")).await.ok();
}

/// Passes lines on until that generation, or a newer one, is settled; the environment as it stands then.
async fn until_settled(
    web: &Web,
    (id, generation): (EnvironmentId, Generation),
    mut news: broadcast::Receiver<String>,
    sender: &mpsc::Sender<String>,
    shape: impl Fn(&str) -> String,
) -> Option<Environment> {
    let mut changes = web.inner.orchestrator.watch(id);
    let store = &web.inner.orchestrator.house().store;
    loop {
        if let Ok(Some(environment)) = store.environment(id).await
            && environment.settled_generation >= generation
            && !environment.has_work()
        {
            while let Ok(line) = news.try_recv() {
                sender.send(shape(&line)).await.ok()?;
            }
            return Some(environment);
        }
        tokio::select! {
            line = news.recv() => match line {
                Ok(line) => sender.send(shape(&line)).await.ok()?,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            changed = changes.changed() => if changed.is_err() {
                changes = web.inner.orchestrator.watch(id);
            },
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// A body that flows as the lines come.
pub(super) fn body_of(receiver: mpsc::Receiver<String>) -> Body {
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(line)), receiver))
    }))
}
