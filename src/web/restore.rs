//! What archives give back: an environment, or a part of what they hold.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use tokio::sync::{mpsc, oneshot};

use crate::orchestrator::RestoreRefused;
use crate::ports::PortResult;

use super::Web;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::keeping;
use super::view::EnvironmentView;

/// Chunks that wait for a slow reader.
const CHUNKS: usize = 8;

pub(super) async fn restore(State(web): State<Web>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    keeping::kept(&web, &id).await?;
    let submitted = web.inner.orchestrator.restore(&id).await?;
    let Some(environment) = submitted.environment else {
        return Err(ApiError::conflict(submitted.message.unwrap_or_default()));
    };
    let generation = environment.generation;
    let view = EnvironmentView::of(&web.inner.orchestrator, environment).await?;
    let mut answer = json!({
        "action": submitted.action, "message": submitted.message, "generation": generation,
    });
    if let (Some(answer), Value::Object(view)) = (answer.as_object_mut(), json!(view)) {
        answer.extend(
            view.into_iter().filter(|(key, _)| ["repo", "branch", "slug", "url"].contains(&key.as_str())),
        );
    }
    Ok(Json(answer))
}

#[derive(Deserialize)]
pub(super) struct FilesQuery {
    /// Path in the archive; everything below it comes too.
    path: String,
}

/// A tar stream; its paths begin with the last part of the one asked for.
pub(super) async fn files(
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(query): Query<FilesQuery>,
) -> Result<Response, ApiError> {
    let house = web.inner.orchestrator.house().clone();
    let record = keeping::kept(&web, &id).await?;
    let (into, mut chunks) = mpsc::channel(CHUNKS);
    let (done, end) = oneshot::channel();
    house.supervisor.clone().spawn("extract", async move {
        let result = house.ports.archives.extract(&record.id, &query.path, into).await;
        // Whoever asked may be gone.
        done.send(result).unwrap_or_default();
    });
    let Some(first) = chunks.recv().await else {
        end.await.map_err(|_gone| ApiError::unavailable("the archive was not read"))??;
        return Err(ApiError::not_found("nothing is there"));
    };
    let body = Body::from_stream(until_end(first, chunks, end));
    Ok(([(CONTENT_TYPE, "application/x-tar")], body).into_response())
}

/// A failure in the middle breaks the body off: a client must not take half for the whole.
fn until_end(
    first: io::Result<Bytes>,
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    end: oneshot::Receiver<PortResult<()>>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let rest = stream::unfold(chunks, async |mut chunks| chunks.recv().await.map(|chunk| (chunk, chunks)));
    let verdict = stream::once(async move {
        match end.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a part of an archive was not sent to its end");
                Some(Err(io::Error::other(error.to_string())))
            }
            Err(_) => Some(Err(io::Error::other("the archive was not read to its end"))),
        }
    });
    stream::iter([first]).chain(rest).chain(verdict.filter_map(async |verdict| verdict))
}

impl From<RestoreRefused> for ApiError {
    fn from(refused: RestoreRefused) -> Self {
        match refused {
            RestoreRefused::Unknown(_) => Self::not_found(refused.to_string()),
            RestoreRefused::Impossible(reason) => Self::conflict(reason),
            RestoreRefused::Outside(error) => error.into(),
            RestoreRefused::Store(error) => error.into(),
        }
    }
}
