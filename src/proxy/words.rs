//! What a page says of each phase.

use http::StatusCode;

use crate::domain::dashboard::Place;
use crate::domain::environment::{Outcome, Phase};
use crate::domain::route::Page;
use crate::domain::text::shell_word;

/// Status, whether it passes, headline, explanation.
pub(super) fn words(page: &Page) -> (StatusCode, bool, &'static str, &'static str) {
    const SOON: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    match page.phase {
        Phase::Queued => (
            SOON,
            true,
            "Waiting for its turn",
            "The push has arrived. Other branches are being worked on first; this one is next in line.",
        ),
        Phase::Preparing => {
            (SOON, true, "Getting ready", "The branch's files are being fetched and checked.")
        }
        Phase::Building => (
            SOON,
            true,
            "Building",
            "The branch's images are being built. The first time this takes a few minutes, afterwards only what changed is built.",
        ),
        Phase::Starting => (
            SOON,
            true,
            "Starting",
            "The branch's containers are starting. The page appears as soon as they answer.",
        ),
        // Whatever else is ready is passed on.
        Phase::Ready => (
            StatusCode::NOT_FOUND,
            false,
            "Running, but not a website",
            "This service of the branch speaks TCP, not HTTP, so there is nothing to show in a browser.",
        ),
        Phase::Updating => {
            (SOON, true, "Updating", "A new version of this branch is taking over. Its data is kept.")
        }
        Phase::Waking => {
            (SOON, true, "Waking up", "The branch was asleep. It will be here in a moment, with its data.")
        }
        Phase::Asleep if page.is_tired => (
            SOON,
            false,
            "Asleep",
            "The branch was stopped and its data kept. A visit does not wake it at the moment. This is why:",
        ),
        Phase::Asleep => (
            SOON,
            true,
            "Asleep, and waking",
            "The branch was stopped and its data kept. Your visit wakes it: it will be here in a moment.",
        ),
        Phase::Failed => (
            SOON,
            false,
            "This branch did not start",
            "Push a commit that mends it, and it is tried again. This is what went wrong:",
        ),
        Phase::Blocked => (
            SOON,
            false,
            "This branch is not allowed to start",
            "Something in it has to be changed first. This is what stands in the way:",
        ),
        Phase::Archiving => (StatusCode::GONE, false, "Being archived", ending(page.outcome)),
        Phase::Archived => (StatusCode::GONE, false, "Archived", ending(page.outcome)),
        Phase::Destroying => (StatusCode::GONE, false, "Being taken down", ending(page.outcome)),
        Phase::Destroyed => (StatusCode::GONE, false, "Gone", ending(page.outcome)),
    }
}

/// What the whole log is shown by.
pub(super) const LOG: &str = "The whole log";

/// What somebody at a command line does about it: what for, and the command.
pub(super) fn command(page: &Page, name: &str) -> Option<(&'static str, String)> {
    match page.phase {
        Phase::Failed | Phase::Blocked => Some((LOG, format!("drey env log {}", shell_word(name)))),
        Phase::Asleep if page.is_tired => {
            Some(("To wake it now", format!("drey env wake {}", shell_word(name))))
        }
        Phase::Archived => Some(("Its archive, with what brings it back", "drey archive list".to_owned())),
        Phase::Queued
        | Phase::Preparing
        | Phase::Building
        | Phase::Starting
        | Phase::Ready
        | Phase::Updating
        | Phase::Asleep
        | Phase::Waking
        | Phase::Archiving
        | Phase::Destroying
        | Phase::Destroyed => None,
    }
}

/// The page of the dashboard that says more: what it is called, and where.
pub(super) fn place(page: &Page, name: &str) -> Option<(&'static str, Place)> {
    let (called, place) = match page.phase {
        Phase::Failed | Phase::Blocked => (LOG, Place::of(name, Place::Log)),
        Phase::Archived => ("Sign in to restore it", Place::of(name, Place::Newest)),
        Phase::Archiving | Phase::Destroying | Phase::Destroyed => {
            ("What was kept of it", Place::of(name, Place::Newest))
        }
        Phase::Queued
        | Phase::Preparing
        | Phase::Building
        | Phase::Starting
        | Phase::Ready
        | Phase::Updating
        | Phase::Asleep
        | Phase::Waking => return None,
    };
    Some((called, place?))
}

fn ending(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Merged) => {
            "The branch was merged, so its environment is no longer needed. Pushing to the branch brings it back, fresh, at the same address."
        }
        Some(Outcome::Deleted) => {
            "The branch was deleted, and its environment with it. Pushing the branch again brings it back, fresh, at the same address."
        }
        Some(Outcome::Expired) => {
            "Nobody used the branch for a long time, or its pull request was closed, so its environment was taken down. Pushing to it brings it back, fresh, at the same address."
        }
        Some(Outcome::Manual) | None => {
            "Somebody took this environment down. Pushing to the branch brings it back, fresh, at the same address."
        }
    }
}
