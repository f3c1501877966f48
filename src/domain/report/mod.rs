//! What a forge is told of an environment: the status of its commit, a deployment, a comment on its pull request. Pure.
//!
//! Texts that came from a branch are made harmless here; secrets are taken out by whoever sends.

mod comment;
mod escape;
mod pace;
mod status;

use serde::{Deserialize, Serialize};

use super::approval::WAITS_FOR_APPROVAL;
use super::environment::{Environment, Intent, Outcome, Phase};
use super::names::{BranchName, CommitSha, InstanceId};
use super::rest::Rules;

pub use comment::comment;
pub use pace::{DENIED_PAUSE, LONGEST_LIMIT, SHORTEST_LIMIT, retry_in};
pub use status::{deployments, last_word, status};

/// Name of the status and of its check, at every forge.
pub const CONTEXT: &str = "drey/environment";

/// What is said of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    pub commit: CommitSha,
    pub state: StatusState,
    /// One line of at most 140 characters.
    pub description: String,
    /// Where the environment is seen, or what became of it.
    pub url: String,
}

/// How far a commit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusState {
    /// It waits for its turn, or for somebody.
    Pending,
    /// It is worked on.
    Running,
    Success,
    Failure,
    /// A newer commit took its place before it came to an end.
    Cancelled,
}

/// A deployment in the words of a forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentReport {
    pub commit: CommitSha,
    /// What the forge calls the environment.
    pub environment: String,
    pub state: Rollout,
    pub description: String,
    pub url: String,
}

/// How far a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollout {
    InProgress,
    Success,
    Failure,
    /// It is not there any more, or another commit runs.
    Inactive,
}

/// The one comment on a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentReport {
    pub pull: u64,
    /// Markdown, without the marker.
    pub body: String,
}

/// One thing at a forge as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Report {
    Status(StatusReport),
    Deployment(DeploymentReport),
    Comment(CommentReport),
}

impl Report {
    /// The word in the table, in the log and in figures.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Deployment(_) => "deployment",
            Self::Comment(_) => "comment",
        }
    }

    /// Which of its kind it is among those of a branch: the commit, or the pull request's number.
    pub fn subject(&self) -> String {
        match self {
            Self::Status(report) => report.commit.to_string(),
            Self::Deployment(report) => report.commit.to_string(),
            Self::Comment(report) => report.pull.to_string(),
        }
    }
}

/// What is told of an environment.
pub struct Reported<'a> {
    pub environment: &'a Environment,
    /// Of the primary service.
    pub url: &'a str,
    /// Those with an address, the primary first.
    pub services: &'a [ServiceLine],
    pub rules: Rules,
    /// What was said last of its newest commit.
    pub before: Option<StatusState>,
    /// Its newest commit is not to be deployed.
    pub is_passed_over: bool,
    /// It had a pull request, and none is open.
    pub pull_is_closed: bool,
}

impl Reported<'_> {
    /// How it ended and the id of its archive, once it is over.
    fn end(&self) -> Option<(Outcome, Option<String>)> {
        let Intent::End { outcome, archive } = self.environment.intent else { return None };
        let is_over = self.environment.phase.is_over();
        is_over.then(|| (outcome, archive.then(|| self.environment.archive_id())))
    }

    /// First line of the reason: what follows are the last words of a service, which are its own.
    fn reason(&self) -> &str {
        self.environment.reason.as_deref().unwrap_or_default().lines().next().unwrap_or_default()
    }

    /// What it shows is of its newest commit. Ready is said a moment before the run is at its end.
    fn has_arrived(&self) -> bool {
        !self.environment.has_work() || self.runs_newest()
    }

    fn runs_newest(&self) -> bool {
        self.environment.running_commit.is_some()
            && self.environment.running_commit == self.environment.commit
    }

    /// Its newest commit is about to take the place of what runs.
    fn is_deploying(&self) -> bool {
        self.environment.has_work() && matches!(self.environment.intent, Intent::Run { .. })
    }

    /// It stands well, or comes back, with another commit than its newest.
    fn stays_behind(&self) -> bool {
        let environment = self.environment;
        let is_other = environment.running_commit.is_some() && !self.runs_newest();
        let is_stuck = matches!(environment.phase, Phase::Failed | Phase::Blocked);
        is_other && !is_stuck && !self.is_deploying() && !environment.intent.ends()
    }

    fn waits_for_approval(&self) -> bool {
        self.environment.phase == Phase::Blocked && self.reason().starts_with(WAITS_FOR_APPROVAL)
    }

    /// Whether a deployment of this commit is more than history.
    fn is_deployed(&self, commit: &str) -> bool {
        let environment = self.environment;
        if environment.phase.is_over() {
            return false;
        }
        let is = |known: &Option<CommitSha>| known.as_ref().is_some_and(|known| known.as_str() == commit);
        if is(&environment.commit) {
            return !self.stays_behind() && !self.waits_for_approval();
        }
        let is_down = matches!(environment.phase, Phase::Failed | Phase::Blocked) && !environment.serving;
        is(&environment.running_commit) && (environment.has_work() || !is_down)
    }

    /// The commit that is deployed, where that is not the newest.
    fn deployed_before(&self) -> Option<&CommitSha> {
        let running = self.environment.running_commit.as_ref()?;
        (!self.runs_newest() && self.is_deployed(running.as_str())).then_some(running)
    }
}

/// A line of the comment's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLine {
    /// Untrusted text.
    pub name: String,
    pub is_up: bool,
    /// None for what a browser cannot open.
    pub url: Option<String>,
}

/// A pull request that shows the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullLine {
    pub number: u64,
    pub target: BranchName,
    /// Commits of the target that the branch does not have; `None`: not known.
    pub behind: Option<u64>,
}

/// By which drey finds its comment again, also one whose making it never heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker(String);

impl Marker {
    /// `name` is the environment's. `nonce` is drawn for each comment: nobody can make a comment that looks like ours before
    /// ours is there.
    pub fn new(instance: &InstanceId, name: &str, nonce: &str) -> Self {
        Self(format!("drey:{instance}:{}:{nonce}", escape::plain(name)))
    }

    /// Letters, digits and `:/_.%`: it ends no comment of HTML or Markdown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
