//! The status of a commit, and its deployment.

use super::{DeploymentReport, Reported, Rollout, StatusReport, StatusState, escape};
use crate::domain::environment::{Outcome, Phase};

/// What GitHub takes; the others take more.
const DESCRIPTION_LIMIT: usize = 140;
/// With these words begins the reason of a fork's environment that nobody has approved.
const WAITS_FOR_APPROVAL: &str = "waits for approval";

/// The status of the branch's commit; `None`: there is nothing new to say.
pub fn status(reported: &Reported<'_>) -> Option<StatusReport> {
    let commit = reported.environment.commit.clone()?;
    let (state, text) = state(reported)?;
    let description = escape::line(&text, DESCRIPTION_LIMIT);
    Some(StatusReport { commit, state, description, url: reported.url.to_owned() })
}

/// The deployment of the branch's commit, for forges that know them.
pub fn deployment(reported: &Reported<'_>) -> Option<DeploymentReport> {
    let StatusReport { commit, state, description, url } = status(reported)?;
    let state = match state {
        _ if reported.end().is_some() => Rollout::Inactive,
        StatusState::Pending | StatusState::Running => Rollout::InProgress,
        StatusState::Success => Rollout::Success,
        StatusState::Failure => Rollout::Failure,
        StatusState::Cancelled => Rollout::Inactive,
    };
    let environment = format!("drey/{}", reported.environment.slug);
    Some(DeploymentReport { commit, environment, state, description, url })
}

/// A commit that was not done with when a newer one came.
pub(super) fn replaced(report: &StatusReport) -> Option<StatusReport> {
    let is_open = matches!(report.state, StatusState::Pending | StatusState::Running);
    is_open.then(|| StatusReport {
        state: StatusState::Cancelled,
        description: "a newer commit took its place".to_owned(),
        ..report.clone()
    })
}

/// A deployment of a commit that runs no more.
pub(super) fn inactive(report: &DeploymentReport) -> Option<DeploymentReport> {
    (report.state != Rollout::Inactive).then(|| DeploymentReport {
        state: Rollout::Inactive,
        description: "a newer commit took its place".to_owned(),
        ..report.clone()
    })
}

fn state(reported: &Reported<'_>) -> Option<(StatusState, String)> {
    if let Some((outcome, archive)) = reported.end() {
        let kept = archive.map_or_else(|| "nothing is kept".to_owned(), |id| format!("archived as {id}"));
        return Some((StatusState::Success, format!("{}; {kept}", ended(outcome))));
    }
    let environment = reported.environment;
    let reason = || reported.reason();
    let (state, text) = match environment.phase {
        Phase::Queued if reason().is_empty() => (StatusState::Pending, "its turn comes next".to_owned()),
        Phase::Queued => (StatusState::Pending, reason().to_owned()),
        Phase::Preparing | Phase::Building | Phase::Starting | Phase::Updating | Phase::Waking => {
            (StatusState::Running, word(environment.phase).to_owned())
        }
        Phase::Ready if reported.has_arrived() => (StatusState::Success, "ready".to_owned()),
        Phase::Asleep if reported.has_arrived() => {
            (StatusState::Success, "asleep, opens by itself".to_owned())
        }
        Phase::Failed if environment.intent.ends() => {
            (StatusState::Failure, format!("it cannot be taken down: {}", reason()))
        }
        Phase::Blocked if reason().starts_with(WAITS_FOR_APPROVAL) => {
            (StatusState::Pending, reason().to_owned())
        }
        Phase::Failed | Phase::Blocked if reported.has_arrived() => {
            (StatusState::Failure, format!("{}: {}", environment.phase.word(), reason()))
        }
        // What it is on the way down was said before, and what became of it is said afterwards.
        Phase::Archiving | Phase::Archived | Phase::Destroying | Phase::Destroyed => return None,
        Phase::Ready | Phase::Asleep | Phase::Failed | Phase::Blocked if environment.intent.ends() => {
            return None;
        }
        Phase::Ready | Phase::Asleep | Phase::Failed | Phase::Blocked => {
            (StatusState::Pending, "its turn comes next".to_owned())
        }
    };
    Some((state, text))
}

/// The word for a phase at a forge. The steps of a deployment have one in common: each word costs requests, and forges
/// count them.
pub(super) const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Preparing | Phase::Building | Phase::Starting | Phase::Updating => "deploying",
        Phase::Queued
        | Phase::Ready
        | Phase::Failed
        | Phase::Blocked
        | Phase::Asleep
        | Phase::Waking
        | Phase::Archiving
        | Phase::Archived
        | Phase::Destroying
        | Phase::Destroyed => phase.word(),
    }
}

pub(super) const fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Merged => "merged",
        Outcome::Deleted => "the branch was deleted",
        Outcome::Expired => "nobody wanted it for too long",
        Outcome::Manual => "ended because somebody asked for it",
    }
}
