//! The one error of the API: `{"error":{"id","code","message"}}`, the id also in the log.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::access::AccessError;
use crate::domain::names::NameError;
use crate::ports::PortError;
use crate::store::StoreError;

/// When whoever could not be served may come again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");
/// The same for whoever tried too often without a good token.
const RETRY_TRIES: HeaderValue = HeaderValue::from_static("60");

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What went wrong, for whoever asked.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message: what.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", message: message.into() }
    }

    /// The same for an unknown repository and a wrong signature: nobody learns which names exist.
    pub(super) fn unauthorized() -> Self {
        let message = "unknown repository, or the signature does not fit".to_owned();
        Self { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message }
    }

    /// The same for no token and one that is unknown, expired or revoked.
    pub(super) fn no_token() -> Self {
        let message =
            "a good token is needed (`Authorization: Bearer drey_…`); `drey token create` on the daemon's \
                       machine makes one"
                .to_owned();
        Self { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message }
    }

    pub(super) fn too_many_tries() -> Self {
        let message = "too many requests without a good token; come again in a minute, with one".to_owned();
        Self { status: StatusCode::TOO_MANY_REQUESTS, code: "too_many_requests", message }
    }

    pub(super) fn forbidden(message: String) -> Self {
        Self { status: StatusCode::FORBIDDEN, code: "forbidden", message }
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code: "conflict", message: message.into() }
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, code: "too_large", message: message.into() }
    }

    /// The daemon ends: its next life takes what is asked now.
    pub(super) fn draining() -> Self {
        let message = "drey ends and takes nothing new; come again when it is back".to_owned();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "draining", message }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "unavailable", message: message.into() }
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
        let id = format!("e{}", NEXT_ID.fetch_add(1, Ordering::Relaxed));
        if self.status.is_server_error() && self.code != "draining" {
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
        let body = json!({"error": {"id": id, "code": self.code, "message": self.message}});
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, RETRY_TRIES);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(super) async fn not_found() -> ApiError {
    ApiError::not_found("there is nothing at this path")
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        message: "this path does not take this method; /api/v1/openapi.json has those it takes".to_owned(),
    }
}
