//! Pages that say why something is not shown or not done.

use axum::http::header::{InvalidHeaderValue, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::dashboard::{Place, encoded};
use crate::store::StoreError;
use crate::web::error::ApiError;

use super::render;

/// When whoever tried too often to sign in may come again.
const RETRY_TRIES: HeaderValue = HeaderValue::from_static("60");

/// Why a page is not shown, or a form not followed.
#[derive(Debug)]
pub(in crate::web) struct Refusal {
    status: StatusCode,
    headline: &'static str,
    message: String,
    /// Where it goes on: an address of ours, and what stands there.
    way_out: Option<(String, &'static str)>,
}

impl Refusal {
    fn of(status: StatusCode, headline: &'static str, message: impl Into<String>) -> Self {
        Self { status, headline, message: message.into(), way_out: None }
    }

    /// No browser keeps a session at this address.
    pub(super) fn not_here() -> Self {
        Self::of(
            StatusCode::FORBIDDEN,
            "Not at this address",
            "The dashboard is reached over HTTPS, at the address that http.public_url of drey.toml names, or in plain on \
             drey's own machine (http://localhost and the port of http.listen, also through a tunnel): elsewhere your \
             token could be read on its way, and browsers keep no session.",
        )
    }

    /// A form that no page of ours sent.
    pub(super) fn forged(own: &str) -> Self {
        Self::of(
            StatusCode::FORBIDDEN,
            "That did not come from here",
            format!(
                "What was sent did not come from a page of drey's own, which are at {own}. Nothing was done."
            ),
        )
    }

    /// Two cookies of our name: somebody else set one of them.
    pub(super) fn doubled_cookie() -> Self {
        Self::of(
            StatusCode::BAD_REQUEST,
            "Two sessions at once",
            "Your browser sent two cookies with the name of drey's, and one of them is not drey's. Delete the cookies \
             of this address, then sign in again.",
        )
    }

    /// The session ended before the form was sent.
    pub(super) fn signed_out(page: Option<&Place>) -> Self {
        let mut refusal = Self::of(
            StatusCode::UNAUTHORIZED,
            "Signed out",
            "Your session is over, so nothing was done. Sign in and do it once more.",
        );
        refusal.way_out = Some((sign_in_for(page), "Sign in"));
        refusal
    }

    pub(super) fn forbidden(message: String) -> Self {
        Self::of(StatusCode::FORBIDDEN, "Not with this role", message)
    }

    pub(super) fn not_found(headline: &'static str, message: impl Into<String>) -> Self {
        let mut refusal = Self::of(StatusCode::NOT_FOUND, headline, message);
        refusal.way_out = Some((Place::Home.path(), "All branches"));
        refusal
    }

    pub(super) fn bad_form(message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, "That could not be read", message)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let (status, message) = error.told();
        let headline = match status {
            StatusCode::NOT_FOUND => "Not there",
            StatusCode::CONFLICT => "Not possible",
            status if status.is_server_error() => "Not at the moment",
            _ => "Not done",
        };
        let mut refusal = Self::of(status, headline, message);
        refusal.way_out = Some((Place::Home.path(), "All branches"));
        refusal
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<InvalidHeaderValue> for Refusal {
    fn from(error: InvalidHeaderValue) -> Self {
        ApiError::unavailable(error.to_string()).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let way_out = self.way_out.map(|(path, text)| json!({"path": path, "text": text}));
        let shown = json!({"headline": self.headline, "message": self.message, "way_out": way_out});
        let mut response = render::page(self.status, "refusal.html", &shown);
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, RETRY_TRIES);
        }
        response
    }
}

/// The sign-in page, which leads back.
pub(super) fn sign_in_for(page: Option<&Place>) -> String {
    match page {
        Some(Place::Home) | None => "/signin".to_owned(),
        Some(page) => format!("/signin?next={}", encoded(&page.path())),
    }
}

/// Sends a browser on, with GET.
pub(super) fn see_other(path: &str) -> Result<Response, InvalidHeaderValue> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, HeaderValue::try_from(path)?);
    Ok(response)
}
