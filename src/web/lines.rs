//! Answers that flow line by line.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::mpsc;

/// A body that flows as the lines come.
pub(super) fn body_of(receiver: mpsc::Receiver<String>) -> Body {
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(line)), receiver))
    }))
}
