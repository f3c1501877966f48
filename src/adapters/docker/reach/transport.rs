//! bollard on connections of our own: it knows neither TLS that trusts one authority alone, nor ssh.

use bollard::errors::Error as EngineError;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use http::Uri;
use http::header::{HOST, HeaderValue};
use hyper::client::conn::http1;
use hyper::rt::Executor as _;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Reach;

/// The client; nothing is asked yet.
pub(in crate::adapters::docker) fn connect(reach: &Reach, limit: u64) -> Result<Docker, EngineError> {
    let reach = reach.clone();
    let ask = move |request: BollardRequest| {
        let reach = reach.clone();
        async move {
            let stream = reach.dial().await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // It ends with the answer's body, or with what was made of it by an upgrade.
            TokioExecutor::new().execute(async move {
                connection.with_upgrades().await.unwrap_or_else(|error| {
                    tracing::trace!(%error, "a connection to the engine ended");
                });
            });
            Ok(sender.send_request(of_origin(request)).await?)
        }
    };
    Docker::connect_with_custom_transport(ask, Some("http://engine"), limit, API_DEFAULT_VERSION)
}

/// bollard writes whole addresses, which are for proxies.
fn of_origin(request: BollardRequest) -> BollardRequest {
    let (mut parts, body) = request.into_parts();
    if let Some(path) = parts.uri.path_and_query().cloned() {
        parts.uri = Uri::from(path);
    }
    parts.headers.insert(HOST, HeaderValue::from_static("engine"));
    BollardRequest::from_parts(parts, body)
}
