//! The body of a delivery, read within limits: of its size, of its time, and of the memory that all of them share.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::ApiError;

/// Most bytes of a delivery; the cap that GitHub has.
const BODY_LIMIT: usize = 25 * 1024 * 1024;
/// How long a sender may take for its body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Bytes of bodies in memory at once, whoever sent them: a body is read before its signature can be.
const ROOM: usize = 64 * 1024 * 1024;

static ROOM_LEFT: Semaphore = Semaphore::const_new(ROOM);

/// A body and its part of the room.
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    /// Given back when it is dropped.
    pub(super) room: Option<SemaphorePermit<'static>>,
}

/// Reads all of it. Only bytes that came take room: whoever announces much and sends nothing keeps nobody out.
pub(super) async fn read(body: Body) -> Result<Received, ApiError> {
    tokio::time::timeout(BODY_TIME, collect(body, &ROOM_LEFT))
        .await
        .map_err(|_slow| ApiError::bad_request("the body came too slowly"))?
}

async fn collect(body: Body, left: &'static Semaphore) -> Result<Received, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut received = Received { bytes: Vec::new(), room: None };
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_broken| ApiError::bad_request("the body broke off"))?;
        if received.bytes.len() + chunk.len() > BODY_LIMIT {
            return Err(ApiError::too_large("a delivery may have 25 MiB"));
        }
        let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        let more = left.try_acquire_many(length).map_err(|_full| {
            ApiError::unavailable("too many deliveries are being received at once; come again")
        })?;
        match &mut received.room {
            Some(room) => room.merge(more),
            None => received.room = Some(more),
        }
        received.bytes.extend_from_slice(&chunk);
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;

    static SMALL: Semaphore = Semaphore::const_new(10);

    async fn status(length: usize) -> StatusCode {
        match collect(Body::from(vec![0; length]), &SMALL).await {
            Ok(_) => StatusCode::OK,
            Err(error) => error.into_response().status(),
        }
    }

    #[tokio::test]
    async fn bodies_take_room_while_they_are_there() {
        let first = collect(Body::from("six by"), &SMALL).await.unwrap();
        assert_eq!(first.bytes, b"six by");
        assert_eq!(status(5).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(4).await, StatusCode::OK);
        drop(first.room);
        assert_eq!(status(10).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_large_body_is_refused() {
        let refused = read(Body::from(vec![0; BODY_LIMIT + 1])).await;
        assert_eq!(refused.err().unwrap().into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
