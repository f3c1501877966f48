//! What the API and `--json` show.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::environment::{Ending, Environment, Phase};
use crate::domain::event::{Event, EventSource, EventState};
use crate::domain::fate::{self, Fate};
use crate::domain::names::{BranchName, CommitSha, Generation, RepoName, Slug};
use crate::domain::pull_request::{Head, PullRequest, PullState};
use crate::domain::rest;
use crate::domain::time::Timestamp;
use crate::orchestrator::Orchestrator;
use crate::store::StoreError;

/// An environment.
#[derive(Debug, Serialize)]
pub struct EnvironmentView {
    pub repo: RepoName,
    pub branch: BranchName,
    pub slug: Slug,
    pub phase: Phase,
    pub commit: Option<CommitSha>,
    pub generation: Generation,
    pub url: String,
    /// Service → address.
    pub urls: BTreeMap<String, String>,
    /// Who may look: `open`, `link`, `basic` or `token`.
    pub access: &'static str,
    pub reason: Option<String>,
    pub serving: bool,
    pub running_commit: Option<CommitSha>,
    pub pinned: bool,
    /// When and why it will end, if that is known.
    pub ending: Option<Ending>,
    /// Why it is alive, waiting or gone, and what will end that, and when.
    pub fate: Fate,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_visited_at: Option<Timestamp>,
    /// The archive it was made from.
    pub restored_from: Option<String>,
    /// Its pull request: the newest of those that are open, else the newest.
    pub pull_request: Option<PullRequestView>,
}

impl EnvironmentView {
    pub(super) async fn of(
        orchestrator: &Orchestrator,
        environment: Environment,
    ) -> Result<Self, StoreError> {
        let house = orchestrator.house();
        let rules = orchestrator.rest_rules(&environment).await?;
        let fate = fate::tell(&environment, rules, house.ports.visitors.presence(environment.id));
        let now = house.ports.clock.now();
        let reason = environment.reason.clone().or_else(|| rest::warning(&environment, rules, now));
        // Again: it may be older than what is a secret now.
        let reason = reason.map(|reason| house.ports.redactor.text(&reason).into_owned());
        let settings = house.settings();
        let address = &settings.address;
        let routes = house.store.routes(environment.id).await?;
        let pulls = house.store.pulls_of(&environment.repo, &environment.branch).await?;
        let pull = pulls.iter().find(|pull| pull.state == PullState::Open).or(pulls.first());
        Ok(Self {
            url: address.url(&address.primary_host(&environment.slug)),
            // The first of a service's names stays.
            urls: routes.iter().rev().map(|it| (it.route.service.clone(), address.url_of(it))).collect(),
            access: settings.access(&environment.repo).word(),
            repo: environment.repo,
            branch: environment.branch,
            slug: environment.slug,
            phase: environment.phase,
            commit: environment.commit,
            generation: environment.generation,
            reason,
            fate,
            serving: environment.serving,
            running_commit: environment.running_commit,
            pinned: environment.pinned,
            ending: environment.ending,
            created_at: environment.created_at,
            updated_at: environment.updated_at,
            last_visited_at: environment.last_visited_at,
            restored_from: environment.restored.map(|restored| restored.archive),
            pull_request: pull.map(PullRequestView::from),
        })
    }
}

/// An event.
#[derive(Debug, Serialize)]
pub(super) struct EventView {
    id: String,
    source: EventSource,
    kind: &'static str,
    repo: RepoName,
    /// As whoever told it calls it: of a fork's pull request, what the fork calls it.
    branch: Option<String>,
    commit: Option<CommitSha>,
    pull_request: Option<PullRequestView>,
    delivery_id: Option<String>,
    received_at: Timestamp,
    state: EventState,
    reason: Option<String>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            id: event.id.0.to_string(),
            source: event.source,
            kind: event.kind.word(),
            branch: match event.kind.pull() {
                Some(pull) => Some(pull.source.clone()),
                None => event.kind.branch().map(ToString::to_string),
            },
            commit: event.kind.commit(),
            pull_request: event.kind.pull().map(PullRequestView::from),
            repo: event.repo,
            delivery_id: event.delivery_id,
            received_at: event.received_at,
            state: event.state,
            reason: event.reason,
        }
    }
}

/// A pull request, as its forge told of it.
#[derive(Debug, Serialize)]
pub struct PullRequestView {
    number: u64,
    title: String,
    author: String,
    target: BranchName,
    url: Option<String>,
    state: PullState,
    draft: bool,
    labels: Vec<String>,
    /// Whose repository the branch is in, unless it is this one.
    fork: Option<String>,
    /// The branch that has its environment: `pull:N` for a fork's.
    environment: BranchName,
    /// What it was merged as; Bitbucket cuts it.
    merge_commit: Option<Head>,
}

impl From<&PullRequest> for PullRequestView {
    fn from(pull: &PullRequest) -> Self {
        Self {
            number: pull.number,
            title: pull.title.clone(),
            author: pull.author.clone(),
            target: pull.target.clone(),
            url: pull.url.clone(),
            state: pull.state,
            draft: pull.draft,
            labels: pull.labels.clone(),
            fork: pull.fork.clone(),
            environment: pull.branch.clone(),
            merge_commit: pull.merge_commit.clone(),
        }
    }
}

/// A list; `next` is what to ask for with `before` to go on, where there is more.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}
