//! The one error of the API: `{"error":{"id","code","message"}}`, the id also in the log.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::access::AccessError;
use crate::domain::names::NameError;
use crate::orchestrator::DirectoryError;
use crate::ports::PortError;
use crate::store::StoreError;

/// When whoever could not be served may come again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");
/// When whoever came too often may come again.
const SLOWER_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// The same for whoever tried too often without a good token.
const RETRY_TRIES: HeaderValue = HeaderValue::from_static("60");

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What went wrong, for whoever asked.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Whoever made it tells of it.
    is_quiet: bool,
    /// A token would have helped.
    wants_token: bool,
}

impl ApiError {
    fn of(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), is_quiet: false, wants_token: false }
    }

    /// Without a line in the log.
    pub(super) fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::of(StatusCode::NOT_FOUND, "not_found", what)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// The same for an unknown repository and a wrong signature: nobody learns which names exist.
    pub(super) fn unauthorized() -> Self {
        Self::of(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "unknown repository, or the signature does not fit",
        )
    }

    /// The same for no token and one that is unknown, expired or revoked.
    pub(super) fn no_token() -> Self {
        let message = "a good token is needed (`Authorization: Bearer drey_…`); `drey token create` on the daemon's \
                       machine makes one";
        Self { wants_token: true, ..Self::of(StatusCode::UNAUTHORIZED, "unauthorized", message) }
    }

    pub(super) fn too_many_tries() -> Self {
        let message = "too many requests without a good token; come again in a minute, with one";
        Self { wants_token: true, ..Self::too_many(message) }
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::of(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::of(StatusCode::CONFLICT, "conflict", message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::of(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// For a page: status and message, told in the log as every error is.
    pub(super) fn told(self) -> (StatusCode, String) {
        let id = self.tell();
        let message =
            if self.status.is_server_error() { format!("{} ({id})", self.message) } else { self.message };
        (self.status, message)
    }

    /// Once, at the border. Gives back the id under which it is told.
    fn tell(&self) -> String {
        let id = format!("e{}", NEXT_ID.fetch_add(1, Ordering::Relaxed));
        if self.is_quiet {
            tracing::trace!(error.id = id, error.code = self.code, "a request was refused");
        } else if self.status.is_server_error() && self.code != "draining" {
            tracing::error!(
                error.id = id,
                error.code = self.code,
                error.message = self.message,
                "a request failed"
            );
        } else {
            tracing::debug!(
                error.id = id,
                error.code = self.code,
                error.message = self.message,
                "a request was refused"
            );
        }
        id
    }

    pub(super) fn timeout(message: impl Into<String>) -> Self {
        Self::of(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    }

    pub(super) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    pub(super) fn too_many(message: impl Into<String>) -> Self {
        Self::of(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
    }

    /// The daemon ends: its next life takes what is asked now.
    pub(super) fn draining() -> Self {
        let message = "drey ends and takes nothing new; come again when it is back";
        Self::of(StatusCode::SERVICE_UNAVAILABLE, "draining", message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<PortError> for ApiError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::NotFound(message) => Self::not_found(message),
            PortError::Permanent(message) | PortError::Refused(message) => Self::conflict(message),
            PortError::Transient(_) | PortError::NoRoom(_) | PortError::Cancelled => {
                Self::unavailable(error.to_string())
            }
        }
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => error.into(),
            DirectoryError::Engine(error) => error.into(),
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let id = self.tell();
        let body = json!({"error": {"id": id, "code": self.code, "message": self.message}});
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            let seconds = if self.wants_token { RETRY_TRIES } else { SLOWER_SECONDS };
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        if self.wants_token && self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(super) async fn not_found() -> ApiError {
    ApiError::not_found("there is nothing at this path")
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::of(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path does not take this method; /api/v1/openapi.json has those it takes",
    )
}
