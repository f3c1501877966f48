//! The comment on a pull request.

use super::{CommentReport, PullLine, Reported, ServiceLine, escape, status};
use crate::domain::duration::spoken;
use crate::domain::environment::{Environment, Phase};
use crate::domain::rest;
use crate::domain::time::Timestamp;

const NAME_LIMIT: usize = 100;
const REASON_LIMIT: usize = 300;
/// Rows of the table; a branch may have more services than anybody wants to read of.
const ROWS: usize = 30;

/// What the comment says now. Nothing in it changes while the environment stays as it is, but the day of its end.
pub fn comment(reported: &Reported<'_>, pull: &PullLine) -> CommentReport {
    let paragraphs = match reported.end() {
        Some((outcome, archive)) => over(reported, status::ended(reported, outcome), archive.as_deref()),
        None => alive(reported, pull),
    };
    CommentReport { pull: pull.number, body: paragraphs.join("\n\n") }
}

fn alive(reported: &Reported<'_>, pull: &PullLine) -> Vec<String> {
    let environment = reported.environment;
    let is_new = !reported.has_arrived() && !reported.stays_behind() && !environment.intent.ends();
    let word = if !is_new { status::word(environment.phase) } else { working(environment.phase) };
    let mut paragraphs = vec![format!("**drey: {word}** · <{}>", reported.url)];
    if !reported.reason().is_empty() {
        paragraphs.push(escape::code(reported.reason(), REASON_LIMIT));
    }
    if !reported.services.is_empty() {
        paragraphs.push(table(environment, reported.services));
    }
    paragraphs.push(commit(reported, pull));
    let comes = what_comes(reported);
    if !comes.is_empty() {
        paragraphs.push(comes.join(" "));
    }
    paragraphs
}

/// Before a run has begun, the phase is still that of the run before.
const fn working(phase: Phase) -> &'static str {
    match phase {
        Phase::Ready | Phase::Asleep | Phase::Failed | Phase::Blocked => "queued",
        Phase::Queued
        | Phase::Preparing
        | Phase::Building
        | Phase::Starting
        | Phase::Updating
        | Phase::Waking
        | Phase::Archiving
        | Phase::Archived
        | Phase::Destroying
        | Phase::Destroyed => status::word(phase),
    }
}

fn over(reported: &Reported<'_>, ended: &str, archive: Option<&str>) -> Vec<String> {
    let environment = reported.environment;
    let branch = escape::code(environment.branch.as_str(), NAME_LIMIT);
    let kept = archive.map_or_else(
        || "Nothing of it is kept.".to_owned(),
        |id| format!("Its archive is `{id}`; `drey archive restore {id}` brings it back."),
    );
    let at = environment.commit.as_ref().map_or(String::new(), |commit| format!(" at `{}`", commit.short()));
    vec![
        format!("**drey: {}** · {ended}", environment.phase.word()),
        format!("The environment of {branch}{at} is gone. {kept}"),
    ]
}

fn table(environment: &Environment, services: &[ServiceLine]) -> String {
    let mut lines = vec!["| service | state | address |".to_owned(), "|---|---|---|".to_owned()];
    for service in services.iter().take(ROWS) {
        let is_down = environment.phase == Phase::Ready && !service.is_up;
        let state = if is_down { "down" } else { status::word(environment.phase) };
        let address = service.url.as_ref().map_or("–".to_owned(), |url| format!("<{url}>"));
        lines.push(format!("| {} | {state} | {address} |", escape::code(&service.name, NAME_LIMIT)));
    }
    let more = services.len().saturating_sub(ROWS);
    if more > 0 {
        lines.push(format!("| and {more} more | | |"));
    }
    lines.join("\n")
}

fn commit(reported: &Reported<'_>, pull: &PullLine) -> String {
    let short = reported.environment.commit.as_ref().map_or("not known yet", |commit| commit.short());
    let target = escape::code(pull.target.as_str(), NAME_LIMIT);
    let behind = match pull.behind {
        None => String::new(),
        Some(0) => format!(", up to date with {target}"),
        Some(1) => format!(", 1 commit behind {target}"),
        Some(many) => format!(", {many} commits behind {target}"),
    };
    let deployed = reported
        .deployed_before()
        .map_or(String::new(), |commit| format!("; `{}` is deployed", commit.short()));
    format!("Commit `{short}`{behind}{deployed}.")
}

/// Without moments that change with each visit: the comment would be edited each time.
fn what_comes(reported: &Reported<'_>) -> Vec<String> {
    let Reported { environment, rules, .. } = reported;
    let mut sentences = Vec::new();
    if let Some(ending) = environment.ending.filter(|_| !environment.intent.ends()) {
        let (ended, at) = (status::ended(reported, ending.outcome), minute(ending.due_at));
        sentences.push(format!("It goes away at {at}: {ended}."));
    }
    if let (Some(_), Some(after)) = (rest::sleeps_at(environment, *rules), rules.sleep_after) {
        let after = spoken(after);
        sentences.push(format!("It sleeps when nobody visits it for {after}; a visit wakes it."));
    }
    if let Some(at) = rest::expires_at(environment, *rules) {
        let day = day(at);
        sentences.push(format!("It goes away on {day} unless somebody visits it, pushes or pins it before."));
    }
    sentences
}

fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

fn day(at: Timestamp) -> String {
    at.to_string().get(..10).unwrap_or_default().to_owned()
}
