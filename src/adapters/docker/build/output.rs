//! What the builder says: lines under the service's name, and the reason of a failure.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::ports::{LogLine, LogSink, PortError, failpoint, is_no_room};

/// Lines of output that go into the reason of a failure.
const LAST_LINES: usize = 20;

/// Passes the builder's lines on under the service's name and remembers the last.
pub(super) struct Follower<'a> {
    service: &'a str,
    tail: Mutex<Tail>,
    log: &'a dyn LogSink,
    /// The builder was started before there was anything to build.
    was_ahead: bool,
}

/// What the builder says when it looked for its context before the checkout was there.
const TOO_EARLY: &str = "unable to prepare context";

impl<'a> Follower<'a> {
    pub(super) fn new(service: &'a str, log: &'a dyn LogSink, was_ahead: bool) -> Self {
        Self { service, tail: Mutex::default(), log, was_ahead }
    }

    /// It was started ahead, and failed for that alone: another one will find its context.
    pub(super) fn came_too_early(&self) -> bool {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        self.was_ahead && tail.error.as_ref().is_some_and(|error| error.contains(TOO_EARLY))
    }

    pub(super) fn failure(self) -> PortError {
        self.tail.into_inner().unwrap_or_else(PoisonError::into_inner).failure(self.service)
    }
}

impl LogSink for Follower<'_> {
    fn line(&self, line: LogLine) {
        failpoint("build.half_way");
        if line.text.is_empty() {
            return;
        }
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).take(&line.text);
        if self.was_ahead && line.text.contains(TOO_EARLY) {
            return;
        }
        self.log.line(LogLine { text: format!("{}: {}", self.service, line.text), ..line });
    }
}

/// The end of a build's output: what the reason of a failure is made of.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    error: Option<String>,
}

impl Tail {
    fn take(&mut self, line: &str) {
        if let Some(error) = line.strip_prefix("ERROR: ") {
            self.error = Some(error.to_owned());
            return;
        }
        if self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    fn failure(self, service: &str) -> PortError {
        let lines = Vec::from(self.lines).join("\n");
        let Some(error) = self.error else {
            return PortError::Permanent(format!("build of {service} failed:\n{lines}"));
        };
        let reason = ["failed to build: ", "failed to solve: "]
            .iter()
            .fold(error.as_str(), |error, prefix| error.strip_prefix(prefix).unwrap_or(error));
        if is_no_room(&error) {
            return PortError::NoRoom(format!("no room for the image: build of {service} failed: {reason}"));
        }
        if may_work_later(&error) {
            return PortError::Transient(format!("build of {service} failed: {reason}"));
        }
        let hint =
            if is_refused(&error) { "; a private base image needs a [[registry]] in drey.toml" } else { "" };
        PortError::Permanent(format!("build of {service} failed: {reason}{hint}\n{lines}"))
    }
}

/// Only the builder's own closing line is judged: what a build step prints is not evidence.
fn may_work_later(error: &str) -> bool {
    let network =
        ["no such host", "i/o timeout", "connection refused", "connection reset", "TLS handshake timeout"];
    error.starts_with("Cannot connect to the Docker daemon")
        || (error.contains("failed to resolve source metadata")
            && network.iter().any(|sign| error.contains(sign)))
}

fn is_refused(error: &str) -> bool {
    ["401 Unauthorized", "403 Forbidden", "authorization failed", "insufficient_scope", "pull access denied"]
        .iter()
        .any(|sign| error.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(lines: &[&str]) -> PortError {
        let mut tail = Tail::default();
        lines.iter().for_each(|line| tail.take(line));
        tail.failure("web")
    }

    #[test]
    fn a_failing_step_is_told_with_its_output() {
        let error = failure(&[
            "#5 0.123 dial tcp: connection refused",
            "ERROR: failed to solve: process \"/bin/sh -c x\" did not complete successfully: exit code: 3",
        ]);
        let text = error.to_string();
        assert!(!error.is_transient());
        assert!(text.starts_with("build of web failed: process \"/bin/sh -c x\" did not"), "{text}");
        assert!(text.contains("#5 0.123 dial tcp"), "{text}");
    }

    #[test]
    fn only_a_builder_that_was_started_ahead_comes_too_early() {
        struct Silent;
        impl LogSink for Silent {
            fn line(&self, line: LogLine) {
                assert!(!line.text.contains(TOO_EARLY), "nobody is told of it");
            }
        }
        let says = |was_ahead, text: &str| {
            let follower = Follower::new("web", &Silent, was_ahead);
            follower.line(LogLine { source: "build".into(), text: text.to_owned() });
            follower.came_too_early()
        };
        assert!(says(true, "ERROR: failed to build: unable to prepare context: path \"/co/web\" not found"));
        assert!(!says(true, "ERROR: failed to solve: something else"));
        assert!(!Follower::new("web", &Silent, false).came_too_early());
    }

    #[test]
    fn a_full_disk_is_told_apart_from_a_failing_step() {
        let full =
            failure(&["ERROR: failed to solve: failed to copy files: write /x: no space left on device"]);
        assert!(
            matches!(&full, PortError::NoRoom(text) if text.starts_with("no room for the image:")),
            "{full}"
        );
        let step =
            "ERROR: failed to solve: process \"/bin/sh -c x\" did not complete successfully: exit code: 1";
        assert!(matches!(failure(&["#5 0.1 no space left on device", step]), PortError::Permanent(_)));
    }

    #[test]
    fn a_registry_that_is_away_is_tried_again_one_that_refuses_is_not() {
        let head = "ERROR: failed to build: failed to solve: x: failed to resolve source metadata for x:";
        assert!(failure(&[&format!("{head} dial tcp: lookup x: no such host")]).is_transient());
        let refused = failure(&[&format!("{head} unexpected status from HEAD request: 401 Unauthorized")]);
        assert!(refused.to_string().contains("[[registry]]"), "{refused}");
        assert!(!refused.is_transient());
    }
}
