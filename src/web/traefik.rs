//! What Traefik's HTTP provider asks for.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use axum::response::{IntoResponse, Response};

use super::Web;
use super::access::{Asker, Peer};
use super::error::ApiError;

/// A name of a program that asks is cut to this.
const LONGEST_NAME: usize = 100;

/// The configuration in force. That it was asked for is how drey knows that Traefik has it.
pub(super) async fn document(
    State(web): State<Web>,
    Extension(peer): Extension<Peer>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let provider = &web.inner.orchestrator.house().ports.provider;
    if let Some(text) = provider.hand_out(&who(peer, &asker, &headers)).await {
        return Ok(([(CONTENT_TYPE, "application/json")], text).into_response());
    }
    if provider.status().provider == "traefik" {
        return Err(ApiError::unavailable("the first configuration is not written yet: ask again"));
    }
    Err(ApiError::conflict("Traefik is not in front: set `provider = \"traefik\"` under [proxy]"))
}

/// Several that ask are told apart by where they are, their token and their program.
fn who(peer: Peer, asker: &Asker, headers: &HeaderMap) -> String {
    let program = headers.get(USER_AGENT).and_then(|name| name.to_str().ok()).unwrap_or_default();
    let program: String = program.chars().take(LONGEST_NAME).collect();
    let from = match peer {
        Peer::Socket => "socket".to_owned(),
        Peer::Tcp(address) => address.to_string(),
    };
    format!("{from} {} {program}", asker.0)
}
