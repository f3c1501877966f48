//! Work with files, beside the threads that answer visitors.

use tokio::task::spawn_blocking;

use super::settings::ProxyError;

/// Does it where nobody waits for anything else.
pub(super) async fn aside<T, W>(work: W) -> Result<T, ProxyError>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, ProxyError> + Send + 'static,
{
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ProxyError::Tls(format!("work with its files was cut short: {error}"))))
}
