//! What `drey check` has found: a line each.

use serde::Serialize;

use crate::ports::PortError;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub level: Level,
    pub what: String,
    /// What was found, and what to do about it.
    pub message: String,
}

/// Lines as they are found.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, level: Level, what: &str, message: impl Into<String>) {
        self.0.push(Finding { level, what: what.to_owned(), message: message.into() });
    }

    pub(super) fn result(&mut self, what: &str, result: Result<String, PortError>, hint: &str) {
        match result {
            Ok(found) => self.add(Level::Ok, what, found),
            Err(error) if hint.is_empty() => self.add(Level::Fail, what, error.to_string()),
            Err(error) => self.add(Level::Fail, what, format!("{error}; {hint}")),
        }
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}
