//! What compose says: its progress as log lines, its errors as reasons a developer can act on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::adapters::process::Output;
use crate::domain::text::clean;
use crate::ports::{LogLine, LogSink, PortError, failpoint, is_no_room};

/// One line of `--progress json`; of `--progress plain` only what it is about and how far it is.
#[derive(Debug, Default, Deserialize)]
struct Message {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: bool,
}

/// Stands between the tool and the log: takes what the tool prints, passes on what a person can read.
pub(super) struct Translator<'a> {
    progress: Mutex<Progress>,
    log: &'a dyn LogSink,
}

impl<'a> Translator<'a> {
    pub(super) fn new(project: &str, log: &'a dyn LogSink) -> Self {
        Self { progress: Mutex::new(Progress::new(project)), log }
    }

    /// Why the run failed.
    pub(super) fn failure(self, action: &str) -> PortError {
        self.progress.into_inner().unwrap_or_else(PoisonError::into_inner).failure(action)
    }
}

impl LogSink for Translator<'_> {
    fn line(&self, line: LogLine) {
        failpoint("compose.half_way");
        let text = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take(&line.text);
        if let Some(text) = text {
            self.log.line(LogLine { text, ..line });
        }
    }
}

/// Follows the output of one run for one project.
#[derive(Debug)]
struct Progress {
    /// Container names begin with it.
    prefix: String,
    /// Container (short) → its last status.
    containers: BTreeMap<String, String>,
    errors: Vec<String>,
    last: String,
}

impl Progress {
    fn new(project: &str) -> Self {
        Self {
            prefix: format!("{project}-"),
            containers: BTreeMap::new(),
            errors: Vec::new(),
            last: String::new(),
        }
    }

    /// Takes one line of output, JSON or plain; gives the line for the log, if it says something new.
    fn take(&mut self, line: &str) -> Option<String> {
        let text = match serde_json::from_str::<Message>(line).ok().or_else(|| plain_step(line)) {
            Some(message) if message.error || (message.id.is_empty() && !message.message.is_empty()) => {
                let text = self.shorten(&message.message);
                self.errors.push(text.clone());
                format!("error: {text}")
            }
            Some(message) => self.step(&message)?,
            None => {
                let text = self.shorten(&plain(line));
                if !text.is_empty() && !is_warning(&text) {
                    self.errors.push(text.clone());
                }
                text
            }
        };
        if text.is_empty() || text == self.last {
            return None;
        }
        self.last.clone_from(&text);
        Some(text)
    }

    /// Why the run failed, with the service that was at work when only one was.
    fn failure(&self, action: &str) -> PortError {
        let reason = match self.errors.last() {
            Some(last) => without_layers(last),
            None => "the tool gave no reason",
        };
        let culprit = self.culprit().filter(|culprit| !names(reason, culprit));
        let text = match culprit {
            Some(culprit) => format!("{action}: {culprit}: {reason}"),
            None => format!("{action}: {reason}"),
        };
        if is_no_room(reason) {
            return PortError::NoRoom(format!("no room for the containers: {text}"));
        }
        if may_work_later(reason) { PortError::Transient(text) } else { PortError::Permanent(text) }
    }

    fn step(&mut self, message: &Message) -> Option<String> {
        if message.id.is_empty() {
            return None;
        }
        let (kind, name) = message.id.split_once(' ').unwrap_or(("", &message.id));
        let name = self.shorten(name);
        let status = [message.status.as_str(), message.text.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        if kind == "Container" {
            self.containers.insert(name.clone(), message.status.clone());
        }
        let status = self.shorten(&plain(&status));
        Some(format!("{} {name}: {}", kind.to_lowercase(), lower_first(&status)).trim_start().to_owned())
    }

    fn culprit(&self) -> Option<String> {
        let mut at_work = self
            .containers
            .iter()
            .filter(|(_, status)| matches!(status.as_str(), "Creating" | "Starting" | "Recreate" | "Error"));
        let (name, _) = at_work.next()?;
        at_work.next().is_none().then(|| name.clone())
    }

    /// `<project>-web-1` is `web`; a second one stays `web-2`.
    fn shorten(&self, text: &str) -> String {
        text.split(' ')
            .map(|word| {
                let bare = word.trim_start_matches(['"', '/']);
                // While it is replaced, the old container is called `<12 hex digits>_<name>`.
                let name =
                    bare.split_once('_').filter(|(id, _)| id.len() == 12).map_or(bare, |(_, name)| name);
                let Some(rest) = name.strip_prefix(&self.prefix) else { return word.to_owned() };
                let opening = word.get(..word.len() - bare.len()).unwrap_or_default();
                let name_end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c))
                    .unwrap_or(rest.len());
                let (name, closing) = rest.split_at(name_end);
                format!("{opening}{}{closing}", name.strip_suffix("-1").unwrap_or(name))
            })
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// ` Container x-web-1  Started`: what it is about and how far it is stand two blanks apart.
fn plain_step(line: &str) -> Option<Message> {
    let (id, status) = line.trim().split_once("  ")?;
    let (kind, name) = id.split_once(' ')?;
    let known = matches!(kind, "Container" | "Network" | "Volume" | "Image") && !name.contains(' ');
    known.then(|| Message { id: id.to_owned(), status: status.trim().to_owned(), ..Message::default() })
}

/// Whether a text has the name as a word.
fn names(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).any(|word| word == name)
}

/// Without who told whom on the way from the engine to the runtime.
fn without_layers(reason: &str) -> &str {
    let reason = reason.trim_start_matches("Error response from daemon: ");
    reason.find("unable to start container process").and_then(|place| reason.get(place..)).unwrap_or(reason)
}

/// The reason in what `config` wrote to its error output: without warnings, with paths relative to the checkout.
pub(super) fn config_error(output: &Output, checkout: &Path) -> PortError {
    // The Go runtime ends with its stacks when it gets no memory; a limit on CPU time ends it with a signal.
    if output.code.is_none()
        || output.stderr.contains("\ngoroutine ")
        || output.stderr.contains("out of memory")
    {
        return PortError::Permanent(
            "compose: the files need more time or memory to resolve than is allowed; make them smaller"
                .to_owned(),
        );
    }
    let absolute = checkout.to_string_lossy();
    let reason = output
        .stderr
        .lines()
        .map(plain)
        .filter(|line| !line.is_empty() && !is_warning(line))
        .map(|line| line.replace(&format!("{absolute}/"), "").replace(&*absolute, "."))
        .take(CONFIG_ERROR_LINES)
        .collect::<Vec<_>>()
        .join("\n");
    let reason = if reason.is_empty() { "the tool gave no reason" } else { &reason };
    PortError::Permanent(format!("compose: {reason}"))
}

/// More of an error is noise.
const CONFIG_ERROR_LINES: usize = 12;

/// The engine is away or still busy with what an earlier run left.
fn may_work_later(reason: &str) -> bool {
    [
        "Cannot connect to the Docker daemon",
        "connection refused",
        "connection reset",
        "i/o timeout",
        "context deadline exceeded",
        "declared as external, but could not be found",
        "No such container",
        "No such network",
        "is already in use by container",
        "is already in progress",
        "is marked for removal",
        "unexpected EOF",
    ]
    .iter()
    .any(|sign| reason.to_ascii_lowercase().contains(&sign.to_ascii_lowercase()))
}

fn is_warning(line: &str) -> bool {
    line.starts_with("time=") && (line.contains("level=warning") || line.contains("level=info"))
}

/// Without escape sequences and control characters.
fn plain(line: &str) -> String {
    clean(line).trim().to_owned()
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(lines: &[&str]) -> (Progress, Vec<String>) {
        let mut progress = Progress::new("drey-ab-1-x");
        let told = lines.iter().filter_map(|line| progress.take(line)).collect();
        (progress, told)
    }

    #[test]
    fn progress_becomes_lines() {
        let (_, told) = progress(&[
            r#"{"id":"Container drey-ab-1-x-web-1","status":"Starting"}"#,
            r#"{"id":"Container drey-ab-1-x-web-1","status":"Starting"}"#,
            r#"{"id":"Container drey-ab-1-x-web-1","status":"Started"}"#,
            r#"{"id":"Container drey-ab-1-x-worker-2","text":"Waiting"}"#,
            r#"{"id":"Container 0123456789ab_drey-ab-1-x-db-1","status":"Removed"}"#,
            r#"{"tail":true}"#,
        ]);
        assert_eq!(
            told,
            [
                "container web: starting",
                "container web: started",
                "container worker-2: waiting",
                "container db: removed"
            ]
        );
    }

    #[test]
    fn plain_progress_says_the_same() {
        let (progress, told) = progress(&[
            " Container drey-ab-1-x-web-1  Starting",
            " Container drey-ab-1-x-db-1  Started",
            "Error response from daemon: no such file",
        ]);
        assert_eq!(
            told,
            ["container web: starting", "container db: started", "Error response from daemon: no such file"]
        );
        assert_eq!(progress.failure("start").to_string(), "start: web: no such file");
    }

    #[test]
    fn a_failed_dependency_is_named() {
        let (progress, _) = progress(&[
            r#"{"id":"Container drey-ab-1-x-db-1","status":"Error"}"#,
            r#"{"error":true,"message":"dependency failed to start: container drey-ab-1-x-db-1 exited (1)"}"#,
        ]);
        let error = progress.failure("start");
        assert_eq!(error.to_string(), "start: dependency failed to start: container db exited (1)");
        assert!(!error.is_transient());
    }

    #[test]
    fn the_one_container_at_work_is_the_culprit() {
        let (progress, _) = progress(&[
            r#"{"id":"Container drey-ab-1-x-db-1","status":"Started"}"#,
            r#"{"id":"Container drey-ab-1-x-web-1","status":"Starting"}"#,
            r#"{"error":true,"message":"Error response from daemon: failed to create task: OCI runtime create failed: unable to start container process: exec: \"serve-web\": not found"}"#,
        ]);
        assert_eq!(
            progress.failure("start").to_string(),
            "start: web: unable to start container process: exec: \"serve-web\": not found"
        );
    }

    #[test]
    fn an_engine_that_is_away_is_tried_again() {
        let (progress, _) =
            progress(&[r#"{"error":true,"message":"Cannot connect to the Docker daemon at unix:///x."}"#]);
        assert!(progress.failure("start").is_transient());
    }

    #[test]
    fn config_errors_lose_warnings_colours_and_the_checkouts_path() {
        let failed = |stderr: &str| Output {
            code: Some(1),
            stdout: Vec::new(),
            truncated: false,
            stderr: stderr.to_owned(),
        };
        let output = "time=\"x\" level=warning msg=\"The Y variable is not set\"\n\
                      \u{1b}[31mvalidating /data/co/compose.yaml: services.web additional properties 'imag' not allowed\u{1b}[0m\n";
        assert_eq!(
            config_error(&failed(output), Path::new("/data/co")).to_string(),
            "compose: validating compose.yaml: services.web additional properties 'imag' not allowed"
        );
        let bomb = config_error(&failed("...\n\ngoroutine 1:\n"), Path::new("/data/co"));
        assert!(bomb.to_string().contains("memory"), "{bomb}");
    }
}
