//! `POST /hooks/git/<repo>`: what `hooks/post-receive` and `hooks/post-merge` send.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::domain::environment::Environment;
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::hook_body::{self, HookLine, PushOptions};
use crate::domain::names::RepoName;
use crate::orchestrator::Submitted;
use crate::store::{NewDelivery, StoreError};

use super::border::{BODY_LIMIT, Border, Caller, Refusal, SUSPECT_LIMIT, Seat};
use super::error::ApiError;
use super::extract::{Path, Query};
use super::{Served, Web, body, log, signature};

/// Lines that wait for a slow pusher.
const LINE_BUFFER: usize = 256;
/// Most characters of a delivery id.
const DELIVERY_ID_LIMIT: usize = 200;

#[derive(Deserialize)]
pub(super) struct HookQuery {
    /// From a developer's clone: only a look at git is asked for.
    look: Option<String>,
}

pub(super) async fn git(
    State(web): State<Web>,
    Path(repo): Path<String>,
    Query(query): Query<HookQuery>,
    seat: Option<Extension<Seat>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let served = web.inner.served.load_full();
    let border = &web.inner.border;
    let caller = Border::caller(seat.map(|Extension(seat)| seat), &headers, &served.border);
    let request = Request { repo: &repo, caller: &caller, headers: &headers };
    let done = match query.look {
        Some(_) => look(&web, &served, request).await,
        None => deliver(&web, &served, request, body).await,
    };
    match done {
        Ok(response) => response,
        Err(Failure::Refused(refusal)) => border.refuse((&caller, &repo), refusal, &served.border).await,
        Err(Failure::Other(error)) => error.into_response(),
    }
}

/// Who asks for what, as far as the head says.
#[derive(Clone, Copy)]
struct Request<'a> {
    /// As it stands in the path.
    repo: &'a str,
    caller: &'a Caller,
    headers: &'a HeaderMap,
}

impl Request<'_> {
    fn header(&self, name: &str) -> &[u8] {
        self.headers.get(name).map(|value| value.as_bytes()).unwrap_or_default()
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

async fn deliver(web: &Web, served: &Served, request: Request<'_>, body: Body) -> Result<Response, Failure> {
    let options: Vec<Vec<u8>> =
        request.headers.get_all("x-drey-push-option").iter().map(|value| value.as_bytes().to_vec()).collect();
    let (repo, received) = verified(web, served, request, body, &options).await?;
    let body::Received { bytes: body, share } = received;
    let lines = hook_body::parse(&body).map_err(|error| match body::says_form(request.headers) {
        true => Refusal::MediaType,
        false => Refusal::Malformed(error.to_string()),
    })?;
    let texts: Vec<String> =
        options.iter().map(|option| String::from_utf8_lossy(option).into_owned()).collect();
    let options = PushOptions::parse(texts.iter().map(String::as_str));
    let delivery = NewDelivery {
        repo: repo.clone(),
        source: EventSource::Git,
        delivery_id: delivery_id(request.headers)?,
        body,
        received_at: web.inner.orchestrator.house().ports.clock.now(),
    };
    let events: Vec<NewEvent> = lines.iter().map(|line| event(&repo, line, &delivery, &options)).collect();
    let submitted = web.inner.orchestrator.submit(Some(delivery), &events).await?;
    drop(share);
    Ok(answer(web, &lines, &submitted, &options).await?)
}

/// The body of a delivery whose signature fits. The same is done and answered for a repository that is not known.
async fn verified(
    web: &Web,
    served: &Served,
    request: Request<'_>,
    body: Body,
    options: &[Vec<u8>],
) -> Result<(RepoName, body::Received), Failure> {
    let (border, rules) = (&web.inner.border, &served.border);
    let is_suspect = border.is_suspect(request.caller, rules);
    let limit = if is_suspect { SUSPECT_LIMIT } else { BODY_LIMIT };
    body::examine(request.headers, limit)?;
    let known = request.known(served);
    let secret = known.as_ref().map(|(_, secret)| *secret);
    let mut check = signature::Check::new(secret, request.header("x-drey-signature-256"));
    let reading = body::Reading { limit, is_kept: check.could_fit(), share: border.share(request.caller) };
    let received = body::read(body, reading, |part| check.update(part)).await?;
    match (known, check.fits(options)) {
        (Some((repo, _)), true) => {
            border.admit(request.caller, &repo, rules)?;
            Ok((repo, received))
        }
        (Some(_) | None, _) => Err(request.stranger(web, served).into()),
    }
}

fn event(repo: &RepoName, line: &HookLine, delivery: &NewDelivery, options: &PushOptions) -> NewEvent {
    NewEvent {
        source: EventSource::Git,
        repo: repo.clone(),
        kind: line.kind.clone(),
        delivery_id: Some(delivery.delivery_id.clone()),
        skip: options.skip,
    }
}

async fn look(web: &Web, served: &Served, request: Request<'_>) -> Result<Response, Failure> {
    let known = request.known(served);
    let secret = known.as_ref().map(|(_, secret)| *secret);
    let fits = signature::is_look_token(secret, request.repo, request.header("x-drey-token"));
    let Some((repo, _)) = known.filter(|_| fits) else {
        return Err(request.stranger(web, served).into());
    };
    web.inner.border.admit(request.caller, &repo, &served.border)?;
    let event =
        NewEvent { source: EventSource::Git, repo, kind: EventKind::Look, delivery_id: None, skip: false };
    web.inner.orchestrator.submit(None, &[event]).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

fn delivery_id(headers: &HeaderMap) -> Result<String, Refusal> {
    let given = headers.get("x-drey-delivery").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.is_empty() || given.len() > DELIVERY_ID_LIMIT {
        return Err(Refusal::Malformed("X-Drey-Delivery: must have 1 to 200 ASCII characters".to_owned()));
    }
    Ok(given.to_owned())
}

/// 202 with one line of JSON per ref; with `drey.wait` the same answer goes on until all is done.
async fn answer(
    web: &Web,
    lines: &[HookLine],
    submitted: &[Submitted],
    options: &PushOptions,
) -> Result<Response, ApiError> {
    let mut told: Vec<Value> =
        lines.iter().zip(submitted).map(|(hook, it)| line(web, &hook.reference, it)).collect();
    if let Some(first) = told.first_mut() {
        first["message"] = message(first["message"].as_str(), &options.unknown);
    }
    // The hook prints it at the pusher's terminal, and what is in it may be anybody's.
    let told: String = told.iter().map(log::json_line).collect();
    let waited = if options.wait { waited(web, submitted).await? } else { Vec::new() };
    let headers = [(CONTENT_TYPE, "application/x-ndjson")];
    if waited.is_empty() {
        return Ok((StatusCode::ACCEPTED, headers, told).into_response());
    }
    let (sender, receiver) = mpsc::channel(LINE_BUFFER);
    let web = web.clone();
    web.inner.orchestrator.house().supervisor.faces().spawn("push waits", async move {
        if sender.send(told).await.is_ok() {
            log::tell_until_settled(&web, &waited, &sender).await;
        }
    });
    Ok((StatusCode::ACCEPTED, headers, log::body_of(receiver)).into_response())
}

/// The environments whose end is told: as they stand now, whoever it was that set them to work.
async fn waited(web: &Web, submitted: &[Submitted]) -> Result<Vec<Environment>, ApiError> {
    let store = &web.inner.orchestrator.house().store;
    let mut waited = Vec::new();
    for it in submitted.iter().filter(|it| it.action != "ignored") {
        let Some(branch) = it.event.kind.branch() else { continue };
        let environment = store.live_environment(&it.event.repo, branch).await?;
        waited.extend(environment.filter(|it| it.intent.runs()));
    }
    Ok(waited)
}

/// A mistyped option changes nothing, but its author should know.
fn message(message: Option<&str>, unknown: &[String]) -> Value {
    if unknown.is_empty() {
        return json!(message);
    }
    let hint = format!("no push option of drey's: {}; there are drey.skip and drey.wait", unknown.join(", "));
    json!(message.map_or(hint.clone(), |message| format!("{message}; {hint}")))
}

fn line(web: &Web, reference: &str, submitted: &Submitted) -> Value {
    let settings = web.inner.orchestrator.house().settings();
    let address = &settings.address;
    let url = submitted.environment.as_ref().map(|it| address.url(&address.primary_host(&it.slug)));
    let branch = submitted.event.kind.branch();
    json!({"ref": reference, "branch": branch, "url": url, "action": submitted.action, "message": submitted.message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_option_is_told() {
        assert_eq!(message(Some("as it was"), &[]), "as it was");
        assert_eq!(message(None, &[]), Value::Null);
        let told = message(Some("as it was"), &["drey.wiat".to_owned()]);
        assert!(
            told.as_str()
                .is_some_and(|told| told.starts_with("as it was; no push option of drey's: drey.wiat;"))
        );
    }
}
