//! Signing in with a token of the API, and out.

use axum::Extension;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::domain::dashboard::Place;
use crate::web::Web;
use crate::web::access::{self, Peer};
use crate::web::error::ApiError;
use crate::web::extract::Query;

use super::cookie;
use super::form::{Form, OwnForm};
use super::refusal::{Refusal, see_other};
use super::render;

/// Where somebody wanted to go.
#[derive(Deserialize)]
pub(in crate::web) struct Wanted {
    #[serde(default)]
    next: String,
}

/// The page with its one field.
pub(in crate::web) async fn show(Query(Wanted { next }): Query<Wanted>) -> Response {
    field(StatusCode::OK, Place::parse(&next), None)
}

#[derive(Deserialize)]
pub(in crate::web) struct Given {
    token: String,
    #[serde(default)]
    next: String,
}

/// Opens a session, always a new one, and ends the one that the browser had.
pub(in crate::web) async fn begin(
    State(web): State<Web>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(Given { token, next }): Form<Given>,
) -> Result<Response, Refusal> {
    let house = web.inner.orchestrator.house();
    let now = house.ports.clock.now();
    let next = Place::parse(&next);
    let hash = access::hash_typed(&token);
    let found = match &hash {
        Some(hash) => house.store.token(hash).await?.filter(|token| token.is_good(now)),
        None => None,
    };
    let Some((hash, token)) = hash.zip(found) else {
        return if web.inner.failures.allow(peer, now) {
            let message = "No good token: it is unknown, was revoked, or its time is over.";
            Ok(field(StatusCode::UNAUTHORIZED, next, Some(message)))
        } else {
            Err(ApiError::too_many_tries().into())
        };
    };
    if let Ok(Some(before)) = cookie::read(&headers) {
        web.inner.sessions.end(&before);
    }
    let id = web.inner.sessions.begin(hash, now);
    let id =
        id.map_err(|error| ApiError::unavailable(format!("the system gives no random bytes: {error}")))?;
    tracing::info!(token.name = token.name.as_str(), token.role = token.role.word(), "somebody signed in");
    let mut response = see_other(&next.unwrap_or(Place::Home).path())?;
    response.headers_mut().insert(SET_COOKIE, cookie::set(&id)?);
    Ok(response)
}

/// Ends the session.
pub(in crate::web) async fn end(
    State(web): State<Web>,
    OwnForm(signed_in): OwnForm,
) -> Result<Response, Refusal> {
    web.inner.sessions.end(&signed_in.id);
    let mut response = see_other("/signin")?;
    response.headers_mut().insert(SET_COOKIE, cookie::taken_away()?);
    Ok(response)
}

fn field(status: StatusCode, next: Option<Place>, message: Option<&str>) -> Response {
    let next = next.map(|place| place.path());
    render::page(status, "signin.html", &json!({"next": next, "message": message})).into_response()
}
