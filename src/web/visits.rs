//! What visitors of an environment asked for: all that is kept, and what comes.

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;

use crate::domain::names::EnvironmentId;
use crate::domain::text::escape_json;

use super::Web;
use super::error::ApiError;
use super::lines::body_of;

/// How often is looked for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Lines that wait for a slow reader.
const LINE_BUFFER: usize = 256;

/// A line of JSON for each request, the oldest first; with `follow` until whoever reads is gone.
pub(super) async fn log(web: &Web, environment: EnvironmentId, follow: bool) -> Result<Response, ApiError> {
    let house = web.inner.orchestrator.house().clone();
    let (mut lines, mut mark) = house.ports.access_log.read(environment, None).await?;
    let (sender, receiver) = mpsc::channel(LINE_BUFFER);
    let draining = house.supervisor.faces().draining();
    house.supervisor.faces().spawn("access log is read", async move {
        loop {
            for line in lines {
                // What visitors send may be anything; nothing of it steers a terminal.
                if sender.send(escape_json(&line) + "\n").await.is_err() {
                    return;
                }
            }
            if !follow {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = draining.cancelled() => return,
                () = sender.closed() => return,
            }
            match house.ports.access_log.read(environment, Some(mark)).await {
                Ok(read) => (lines, mark) = read,
                Err(error) => return tracing::warn!(%error, "following an access log ends"),
            }
        }
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body_of(receiver)).into_response())
}
