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
use crate::store::NewDelivery;

use super::super::border::{Refusal, Seat};
use super::super::error::ApiError;
use super::super::extract::{Path, Query};
use super::super::link::link_to;
use super::super::{Served, Web, body, log, signature};
use super::{Failure, Request, verified};

/// Lines that wait for a slow pusher.
const LINE_BUFFER: usize = 256;

#[derive(Deserialize)]
pub(in crate::web) struct HookQuery {
    /// From a developer's clone: only a look at git is asked for.
    look: Option<String>,
}

pub(in crate::web) async fn git(
    State(web): State<Web>,
    Path(repo): Path<String>,
    Query(query): Query<HookQuery>,
    seat: Option<Extension<Seat>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let served = web.inner.served.load_full();
    super::answered(&web, &served, (&repo, seat, &headers), async |request| match query.look {
        Some(_) => look(&web, &served, request).await,
        None => deliver(&web, &served, request, body).await,
    })
    .await
}

async fn deliver(web: &Web, served: &Served, request: Request<'_>, body: Body) -> Result<Response, Failure> {
    let options: Vec<Vec<u8>> =
        request.headers.get_all("x-drey-push-option").iter().map(|value| value.as_bytes().to_vec()).collect();
    let check = |secret: Option<&[u8]>| signature::Check::git(secret, request.headers);
    let (repo, received) = verified(web, served, request, body, (&check, &signed(&options))).await?;
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
        delivery_id: request.delivery_id(&["x-drey-delivery"])?.ok_or_else(|| {
            Refusal::Malformed("X-Drey-Delivery: must have 1 to 200 ASCII characters".to_owned())
        })?,
        body,
        received_at: web.inner.orchestrator.house().ports.clock.now(),
    };
    let events: Vec<NewEvent> = lines.iter().map(|line| event(&repo, line, &delivery, &options)).collect();
    let submitted = web.inner.orchestrator.submit(Some(delivery), &events).await?;
    drop(share);
    Ok(answer(web, &lines, &submitted, &options).await?)
}

/// What is signed after the body, where there are push options: a newline, and the options joined by newlines.
fn signed(options: &[Vec<u8>]) -> Vec<u8> {
    options.iter().flat_map(|option| std::iter::once(b'\n').chain(option.iter().copied())).collect()
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
    let house = web.inner.orchestrator.house();
    let settings = house.settings();
    let address = &settings.address;
    let url = submitted.environment.as_ref().map(|it| address.url(&address.primary_host(&it.slug)));
    let link = submitted.environment.as_ref().and_then(|it| link_to(house, it));
    let branch = submitted.event.kind.branch();
    let (action, message) = (submitted.action, &submitted.message);
    json!({"ref": reference, "branch": branch, "url": url, "link": link, "action": action, "message": message})
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
