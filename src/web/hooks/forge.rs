//! `POST /hooks/<forge>/<repo>`: webhooks of GitHub, GitLab, Gitea, Forgejo and Bitbucket.
//!
//! Which forge it is the path says, never a header: Gitea sends GitHub's too.

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::domain::delivery::{self, Told};
use crate::domain::event::{EventKind, NewEvent, PullChange};
use crate::domain::forge::Forge;
use crate::domain::names::RepoName;
use crate::domain::text::clean_line;
use crate::orchestrator::Submitted;
use crate::store::NewDelivery;

use super::super::border::{Refusal, Seat};
use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::{Served, Web, body, signature};
use super::{Failure, Request, verified};

pub(in crate::web) async fn forge(
    State(web): State<Web>,
    Path((forge, repo)): Path<(String, String)>,
    seat: Option<Extension<Seat>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(forge) = Forge::from_word(&forge) else {
        let known = Forge::ALL.map(Forge::word).join(", ");
        return ApiError::not_found(format!("/hooks/<forge>/<repository> with git, {known}")).into_response();
    };
    let served = web.inner.served.load_full();
    super::answered(&web, &served, (&repo, seat, &headers), async |request| {
        deliver(&web, &served, (forge, request), body).await
    })
    .await
}

async fn deliver(
    web: &Web,
    served: &Served,
    (forge, request): (Forge, Request<'_>),
    body: Body,
) -> Result<Response, Failure> {
    let now = web.inner.orchestrator.house().ports.clock.now();
    let prove = |secret: Option<&[u8]>| signature::Check::forge(forge, secret, request.headers, now);
    let (repo, received) = verified(web, served, request, body, (&prove, b"")).await?;
    let body::Received { bytes: body, share } = received;
    let told = read(forge, request, &body)?;
    let events = events(web, served, (forge, &repo), told);
    let delivery = NewDelivery {
        repo,
        source: forge.into(),
        delivery_id: match request.delivery_id(ids(forge))? {
            Some(id) => id,
            None => random_id()?,
        },
        body,
        received_at: now,
    };
    let submitted = web.inner.orchestrator.submit(Some(delivery), &events).await?;
    drop(share);
    let told: Vec<Value> = submitted.iter().map(|it| line(web, it)).collect();
    Ok((StatusCode::ACCEPTED, Json(json!({"events": told}))).into_response())
}

fn read(forge: Forge, request: Request<'_>, body: &[u8]) -> Result<Told, Refusal> {
    if body::says_form(request.headers) {
        return Err(Refusal::MediaType);
    }
    let document: Value =
        serde_json::from_slice(body).map_err(|error| Refusal::Malformed(format!("no JSON: {error}")))?;
    let name = match forge {
        Forge::Github => "x-github-event",
        Forge::Gitlab => "x-gitlab-event",
        Forge::Gitea => "x-gitea-event",
        Forge::Forgejo if request.header("x-forgejo-event").is_empty() => "x-gitea-event",
        Forge::Forgejo => "x-forgejo-event",
        Forge::Bitbucket => "x-event-key",
    };
    let event = clean_line(&String::from_utf8_lossy(request.header(name)));
    delivery::read(forge, &event, &document).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// Where a forge names the delivery: the same for each try to deliver it.
fn ids(forge: Forge) -> &'static [&'static str] {
    match forge {
        Forge::Github => &["x-github-delivery"],
        Forge::Gitlab => &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"],
        Forge::Gitea => &["x-gitea-delivery"],
        Forge::Forgejo => &["x-forgejo-delivery", "x-gitea-delivery"],
        Forge::Bitbucket => &["x-request-uuid"],
    }
}

/// For a delivery without a name: each try counts, and git is the truth.
fn random_id() -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| ApiError::unavailable(format!("no random bytes: {error}")))?;
    Ok(hex::encode(bytes))
}

fn events(web: &Web, served: &Served, (forge, repo): (Forge, &RepoName), told: Told) -> Vec<NewEvent> {
    let settings = web.inner.orchestrator.house().settings();
    let reads_descriptions =
        settings.repositories.get(repo).is_some_and(|repository| repository.pulls.read_descriptions());
    let other = served.projects.get(repo).and_then(|own| other_project(own, told.project.as_deref()));
    let event = |kind: EventKind| NewEvent {
        source: forge.into(),
        repo: repo.clone(),
        kind: match &other {
            Some(reference) => EventKind::Ignored { reference: reference.clone() },
            None => counted(kind, reads_descriptions),
        },
        delivery_id: None,
        skip: false,
    };
    told.kinds.into_iter().map(event).collect()
}

/// A label or the end of a draft is an update where it decides about the environment.
fn counted(mut kind: EventKind, reads_descriptions: bool) -> EventKind {
    if let EventKind::PullRequest { change, .. } = &mut kind
        && *change == PullChange::Marked
        && reads_descriptions
    {
        *change = PullChange::Updated;
    }
    kind
}

/// Two repositories may have one secret: what is told of the other one counts nothing here.
fn other_project(own: &str, told: Option<&str>) -> Option<String> {
    let told = told.filter(|told| !told.eq_ignore_ascii_case(own))?;
    Some(format!("it is of {told}, not of {own} (`project` of [repo.forge])"))
}

fn line(web: &Web, submitted: &Submitted) -> Value {
    let settings = web.inner.orchestrator.house().settings();
    let address = &settings.address;
    let url = submitted.environment.as_ref().map(|it| address.url(&address.primary_host(&it.slug)));
    json!({
        "kind": submitted.event.kind.word(),
        "branch": submitted.event.kind.branch(),
        "url": url,
        "action": submitted.action,
        "message": submitted.message,
    })
}
