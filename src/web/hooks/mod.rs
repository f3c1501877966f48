//! `POST /hooks/<forge>/<repo>`: deliveries. Who sent one is checked over its raw bytes before anything of it is read.

mod forge;
mod git;

use axum::Extension;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::domain::names::RepoName;
use crate::store::StoreError;

use super::border::{BODY_LIMIT, Border, Caller, Refusal, SUSPECT_LIMIT, Seat};
use super::error::ApiError;
use super::{Served, Web, body, signature};

pub(super) use forge::forge;
pub(super) use git::git;

/// Most characters of a delivery id.
const DELIVERY_ID_LIMIT: usize = 200;

/// Who asks for what, as far as the head says.
#[derive(Clone, Copy)]
struct Request<'a> {
    /// As it stands in the path.
    repo: &'a str,
    caller: &'a Caller,
    headers: &'a HeaderMap,
}

impl<'a> Request<'a> {
    fn header(&self, name: &str) -> &'a [u8] {
        self.headers.get(name).map(|value| value.as_bytes()).unwrap_or_default()
    }

    /// The first of the headers that is there; none where none is.
    ///
    /// # Errors
    /// When it is no id.
    fn delivery_id(&self, names: &[&str]) -> Result<Option<String>, Refusal> {
        let Some(name) = names.iter().find(|name| !self.header(name).is_empty()) else { return Ok(None) };
        let id = str::from_utf8(self.header(name)).ok().filter(|id| id.is_ascii());
        match id.filter(|id| id.len() <= DELIVERY_ID_LIMIT) {
            Some(id) => Ok(Some(id.to_owned())),
            None => Err(Refusal::Malformed(format!("{name}: must have 1 to 200 ASCII characters"))),
        }
    }

    /// The repository with its secret: none where it is unknown or has none.
    fn known(self, served: &Served) -> Option<(RepoName, &[u8])> {
        let repo = RepoName::parse(self.repo).ok()?;
        let secret = served.secrets.get(&repo)?;
        Some((repo, secret))
    }

    /// What is said to somebody who does not know the secret.
    fn stranger(self, web: &Web, served: &Served) -> Refusal {
        match web.inner.border.is_suspect(self.caller, &served.border) {
            true => Refusal::AddressRate,
            false => Refusal::Unauthorized,
        }
    }
}

/// Why nothing follows.
enum Failure {
    Refused(Refusal),
    Other(ApiError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

/// Does it for whoever called, and answers a refusal as the border does.
async fn answered(
    web: &Web,
    served: &Served,
    (repo, seat, headers): (&str, Option<Extension<Seat>>, &HeaderMap),
    done: impl AsyncFnOnce(Request<'_>) -> Result<Response, Failure>,
) -> Response {
    let border = &web.inner.border;
    let caller = Border::caller(seat.map(|Extension(seat)| seat), headers, &served.border);
    match done(Request { repo, caller: &caller, headers }).await {
        Ok(response) => response,
        Err(Failure::Refused(refusal)) => border.refuse((&caller, repo), refusal, &served.border).await,
        Err(Failure::Other(error)) => error.into_response(),
    }
}

/// How the sender proves itself, given the secret of the repository that is named.
type Prove<'a> = dyn Fn(Option<&[u8]>) -> signature::Check + Send + Sync + 'a;

/// The body of a delivery whose signature fits. The same is done and answered for a repository that is not known.
/// `after` is signed behind the body.
async fn verified(
    web: &Web,
    served: &Served,
    request: Request<'_>,
    body: Body,
    (prove, after): (&Prove<'_>, &[u8]),
) -> Result<(RepoName, body::Received), Failure> {
    let (border, rules) = (&web.inner.border, &served.border);
    let is_suspect = border.is_suspect(request.caller, rules);
    let limit = if is_suspect { SUSPECT_LIMIT } else { BODY_LIMIT };
    body::examine(request.headers, limit)?;
    let known = request.known(served);
    let mut check = prove(known.as_ref().map(|(_, secret)| *secret));
    let reading = body::Reading { limit, is_kept: check.could_fit(), share: border.share(request.caller) };
    let received = body::read(body, reading, |part| check.update(part)).await?;
    check.update(after);
    match (known, check.fits()) {
        (Some((repo, _)), true) => {
            border.admit(request.caller, &repo, rules)?;
            Ok((repo, received))
        }
        (Some(_) | None, _) => Err(request.stranger(web, served).into()),
    }
}
