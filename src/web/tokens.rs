//! Tokens: made, listed, revoked. What a new one is, is in one answer and nowhere else.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::access::{Role, Token, TokenName};

use super::Web;
use super::access::{PREFIX, hash};
use super::error::ApiError;
use super::extract::JsonBody;
use super::view::List;

/// Random bytes of a token: 256 bits.
const RANDOM_BYTES: usize = 32;

pub(super) async fn list(State(web): State<Web>) -> Result<Json<List<Token>>, ApiError> {
    let items = web.inner.orchestrator.house().store.tokens().await?;
    Ok(Json(List { items, next: None }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    name: String,
    role: String,
    /// Seconds from now; none: until it is revoked.
    expires_after: Option<u64>,
}

/// A new token with what is known of it. `token` is shown this once.
#[derive(Serialize)]
pub(super) struct Made {
    #[serde(flatten)]
    pub(super) record: Token,
    pub(super) token: String,
}

pub(super) async fn create(
    State(web): State<Web>,
    JsonBody(asked): JsonBody<NewToken>,
) -> Result<Json<Made>, ApiError> {
    let (name, role) = (TokenName::parse(&asked.name)?, Role::parse(&asked.role)?);
    if asked.expires_after == Some(0) {
        return Err(ApiError::bad_request("expires_after: must be at least 1 s"));
    }
    let house = web.inner.orchestrator.house();
    let created_at = house.ports.clock.now();
    let expires_at = asked.expires_after.map(|seconds| created_at.plus(Duration::from_secs(seconds)));
    let record = Token { name, role, created_at, expires_at };
    let token = draw()?;
    if !house.store.add_token(&record, &hash(&token)).await? {
        let name = record.name;
        return Err(ApiError::conflict(format!(
            "there is a token named {name}; revoke it first, or choose another name"
        )));
    }
    web.inner.orchestrator.renew_tokens().await?;
    tracing::info!(token.name = record.name.as_str(), token.role = role.word(), "a token was made");
    Ok(Json(Made { record, token }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: String,
}

pub(super) async fn revoke(
    State(web): State<Web>,
    JsonBody(asked): JsonBody<Named>,
) -> Result<Json<Value>, ApiError> {
    let name = TokenName::parse(&asked.name)?;
    let revoked = web.inner.orchestrator.house().store.revoke_token(&name).await?;
    // Also where there is none any more: whoever revoked it may not have come this far.
    web.inner.orchestrator.renew_tokens().await?;
    if !revoked {
        return Err(ApiError::not_found(format!("no token is named {name}")));
    }
    tracing::info!(token.name = name.as_str(), "a token was revoked");
    Ok(Json(json!({"name": name})))
}

fn draw() -> Result<String, ApiError> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| ApiError::unavailable(format!("the system gives no random bytes: {error}")))?;
    Ok(format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_new_each_time() {
        let (one, other) = (draw().unwrap(), draw().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), PREFIX.len() + 52, "256 bits in base32");
        assert!(one.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
    }
}
