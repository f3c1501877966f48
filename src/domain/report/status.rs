//! The status of a commit, and the deployments of a branch.

use super::{DeploymentReport, Report, Reported, Rollout, StatusReport, StatusState, escape};
use crate::domain::approval::WAITS_FOR_APPROVAL;
use crate::domain::environment::{Outcome, Phase};
use crate::domain::names::CommitSha;

/// What GitHub takes; the others take more.
const DESCRIPTION_LIMIT: usize = 140;
const ASLEEP: &str = "asleep, opens by itself";
const REPLACED: &str = "a newer commit took its place";

/// The status of the branch's commit; `None`: there is nothing new to say.
pub fn status(reported: &Reported<'_>) -> Option<StatusReport> {
    let commit = reported.environment.commit.clone()?;
    let (state, text) = match reported.end() {
        Some(_) if is_unseen(reported) => (StatusState::Success, end(reported)?),
        Some(_) => (reported.before?, end(reported)?),
        None if reported.stays_behind() => behind(reported)?,
        None => state(reported)?,
    };
    let description = escape::line(&text, DESCRIPTION_LIMIT);
    Some(StatusReport { commit, state, description, url: reported.url.to_owned() })
}

/// The deployments that are there, for forges that know them: of the branch's commit, and of the one that runs instead.
pub fn deployments(reported: &Reported<'_>) -> Vec<DeploymentReport> {
    let report = |commit: CommitSha, state, description| DeploymentReport {
        commit,
        environment: format!("drey/{}", reported.environment.slug),
        state,
        description,
        url: reported.url.to_owned(),
    };
    let newest = status(reported).filter(|status| reported.is_deployed(status.commit.as_str()));
    let newest = newest.map(|status| report(status.commit, rollout(status.state), status.description));
    // While the newest takes its place, nothing changes about what runs.
    let running = reported.deployed_before().filter(|_| !reported.is_deploying()).cloned();
    let rests = matches!(reported.environment.phase, Phase::Asleep | Phase::Waking);
    let text = if rests { ASLEEP } else { "ready" };
    let running = running.map(|commit| report(commit, Rollout::Success, text.to_owned()));
    newest.into_iter().chain(running).collect()
}

/// What is left to say of something that was told before and is history; `None`: it is right as it stands.
pub fn last_word(reported: &Reported<'_>, told: &Report) -> Option<Report> {
    match told {
        Report::Status(told) => replaced(reported, told).map(Report::Status),
        Report::Deployment(told) => inactive(reported, told).map(Report::Deployment),
        Report::Comment(_) => None,
    }
}

/// A commit that was not done with when a newer one came.
fn replaced(reported: &Reported<'_>, told: &StatusReport) -> Option<StatusReport> {
    let newest = reported.environment.commit.as_ref()?;
    (is_open(told.state) && told.commit != *newest).then(|| StatusReport {
        state: StatusState::Cancelled,
        description: REPLACED.to_owned(),
        ..told.clone()
    })
}

/// A deployment of a commit that runs no more, or never did.
fn inactive(reported: &Reported<'_>, told: &DeploymentReport) -> Option<DeploymentReport> {
    if told.state == Rollout::Inactive || reported.is_deployed(told.commit.as_str()) {
        return None;
    }
    let newest = reported.environment.commit.as_ref()?;
    let text = match end(reported) {
        Some(end) => end,
        None if told.commit != *newest => REPLACED.to_owned(),
        None => status(reported)?.description,
    };
    let description = escape::line(&text, DESCRIPTION_LIMIT);
    Some(DeploymentReport { state: Rollout::Inactive, description, ..told.clone() })
}

const fn rollout(state: StatusState) -> Rollout {
    match state {
        StatusState::Pending | StatusState::Running => Rollout::InProgress,
        StatusState::Success => Rollout::Success,
        StatusState::Failure => Rollout::Failure,
        StatusState::Cancelled => Rollout::Inactive,
    }
}

/// How it ended, once it is over. That says nothing of how far the commit came.
fn end(reported: &Reported<'_>) -> Option<String> {
    let (outcome, archive) = reported.end()?;
    let kept = archive.map_or_else(|| "nothing is kept".to_owned(), |id| format!("archived as {id}"));
    Some(format!("{}; {kept}", ended(reported, outcome)))
}

/// Of a commit that another one runs instead of. What is passed over needs no environment; what waits for somebody does.
fn behind(reported: &Reported<'_>) -> Option<(StatusState, String)> {
    let running = reported.environment.running_commit.as_ref()?.short();
    let is_fork = reported.environment.branch.pull_number().is_some();
    Some(match reported.before {
        _ if reported.is_passed_over => (StatusState::Success, format!("passed over; {running} runs")),
        _ if is_fork => (StatusState::Pending, format!("{WAITS_FOR_APPROVAL}; {running} runs")),
        before => (before.unwrap_or(StatusState::Pending), format!("{running} runs")),
    })
}

fn state(reported: &Reported<'_>) -> Option<(StatusState, String)> {
    let environment = reported.environment;
    let reason = || reported.reason();
    let (state, text) = match environment.phase {
        Phase::Queued if reason().is_empty() => (StatusState::Pending, "its turn comes next".to_owned()),
        Phase::Queued => (StatusState::Pending, reason().to_owned()),
        // A visit does not change what is known of the commit.
        Phase::Asleep | Phase::Waking if reported.runs_newest() => (StatusState::Success, ASLEEP.to_owned()),
        Phase::Preparing | Phase::Building | Phase::Starting | Phase::Updating | Phase::Waking => {
            (StatusState::Running, word(environment.phase).to_owned())
        }
        Phase::Ready if reported.runs_newest() => (StatusState::Success, "ready".to_owned()),
        Phase::Failed if environment.intent.ends() => {
            let text = format!("it cannot be taken down: {}", reason());
            (reported.before.unwrap_or(StatusState::Failure), text)
        }
        Phase::Blocked if reported.waits_for_approval() => (StatusState::Pending, reason().to_owned()),
        Phase::Failed | Phase::Blocked if reported.has_arrived() => {
            (StatusState::Failure, format!("{}: {}", environment.phase.word(), reason()))
        }
        // It was ready, and nobody had the time to say so.
        Phase::Archiving | Phase::Destroying
            if reported.runs_newest() && reported.before.is_some_and(is_open) =>
        {
            (StatusState::Success, "ready".to_owned())
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

const fn is_open(state: StatusState) -> bool {
    matches!(state, StatusState::Pending | StatusState::Running)
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

/// It ended before it began, because its only push is passed over: where a person asks for the end, no reason is given.
fn is_unseen(reported: &Reported<'_>) -> bool {
    reported.end().is_some() && reported.is_passed_over && !reported.reason().is_empty()
}

/// Why it ends or ended.
pub(super) fn ended(reported: &Reported<'_>, outcome: Outcome) -> &'static str {
    // An end after a grace: what the branch had it for is gone. Without one, its time was over.
    let lost_its_pull = reported.environment.ending.is_some_and(|ending| ending.outcome == outcome);
    match outcome {
        Outcome::Merged => "merged",
        Outcome::Deleted => "the branch was deleted",
        Outcome::Expired if lost_its_pull && reported.pull_is_closed => "its pull request was closed",
        Outcome::Expired if lost_its_pull => "no pull request asks for it any more",
        Outcome::Expired => "nobody wanted it for too long",
        Outcome::Manual if is_unseen(reported) => "its commit is passed over",
        Outcome::Manual => "ended because somebody asked for it",
    }
}
