//! When a request may be sent once more, after a connection broke.

use std::io;

use http::Request;
use hyper::client::conn::TrySendError;

use super::body::RequestBody;

/// Why there is no answer.
pub(super) enum SendFailure {
    /// The container took no connection; nothing of the request was sent or read.
    Unreached(Request<RequestBody>, io::Error),
    /// The connection broke before an answer. The request, where it may be sent once more.
    Unanswered(Option<Request<RequestBody>>, hyper::Error),
}

/// The same request once more, where sending it twice does no harm (RFC 9110, 9.2.1) and it has no body.
pub(super) fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !request.method().is_safe() || !matches!(request.body(), RequestBody::None) {
        return None;
    }
    let mut copy = Request::new(RequestBody::None);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

pub(super) fn is_unsent(failure: &TrySendError<Request<RequestBody>>) -> bool {
    failure.message().is_some()
}

pub(super) fn again(
    mut failure: TrySendError<Request<RequestBody>>,
    copy: Option<Request<RequestBody>>,
) -> Result<Request<RequestBody>, SendFailure> {
    match failure.take_message().or(copy) {
        Some(request) => Ok(request),
        None => Err(SendFailure::Unanswered(None, failure.into_error())),
    }
}

pub(super) fn unanswered(
    mut failure: TrySendError<Request<RequestBody>>,
    copy: Option<Request<RequestBody>>,
) -> SendFailure {
    SendFailure::Unanswered(failure.take_message().or(copy), failure.into_error())
}
