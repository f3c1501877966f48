//! Forms that are sent from our pages.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::guard::SignedIn;
use super::refusal::Refusal;

/// What was filled in.
pub(in crate::web) struct Form<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read = axum::extract::Form::<T>::from_request(request, state).await;
        read.map(|axum::extract::Form(value)| Self(value)).map_err(|rejection| {
            // What was sent may be a token: it is not quoted.
            let message = match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => "It is too large.",
                _ => "It is not what this form sends. Load the page again and do it once more.",
            };
            Refusal::bad_form(message)
        })
    }
}

/// The form of somebody who is signed in, sent from a page of this very session.
pub(in crate::web) struct OwnForm(pub(super) SignedIn);

/// The field that only our own pages know.
#[derive(Deserialize)]
struct Key {
    key: String,
}

impl<S: Send + Sync> FromRequest<S> for OwnForm {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let signed_in = request.extensions().get::<SignedIn>().cloned();
        let signed_in = signed_in.ok_or_else(|| Refusal::signed_out(None))?;
        let Form(Key { key }) = Form::from_request(request, state).await?;
        if !signed_in.id.is_form_key(&key) {
            return Err(Refusal::bad_form(
                "The page is older than your session. Load it again and do it once more; nothing was done.",
            ));
        }
        Ok(Self(signed_in))
    }
}
