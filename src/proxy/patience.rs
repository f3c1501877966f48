//! How long a container may take for the head of its answer.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::body::Upload;

/// Waits for the head of the answer. The error: for so long the container took nothing of the request, and answered
/// nothing. While the client itself sends nothing, it is not the container that is waited for.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    upload: &Upload,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Duration> {
    let Some(limit) = limit else { return Ok(answer.await) };
    loop {
        let before = upload.received();
        match tokio::time::timeout(limit, &mut answer).await {
            Ok(answer) => return Ok(answer),
            Err(_elapsed) if upload.waits_for_client() || upload.received() != before => {}
            Err(_elapsed) => return Err(limit),
        }
    }
}
