//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused by policy.

use std::process::ExitCode;

use crate::config::ConfigErrors;

/// How a command ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    Failed,
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Refused => Self::from(4),
        }
    }
}

/// Why a command could not be done.
#[derive(Debug)]
pub(super) enum Failure {
    Usage(String),
    NotFound(String),
    Failed(String),
    Refused(String),
}

pub(super) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// Tells the user, and gives the exit code.
    #[expect(clippy::print_stderr, reason = "the one place where the command line complains")]
    pub(super) fn report(self) -> ExitCode {
        let (code, message) = match self {
            Self::Usage(message) => (2, message),
            Self::NotFound(message) => (3, message),
            Self::Failed(message) => (1, message),
            Self::Refused(message) => (4, message),
        };
        eprintln!("drey: {}", super::output::plain(&message));
        ExitCode::from(code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Usage(message) | Self::NotFound(message) | Self::Failed(message) | Self::Refused(message)) =
            self;
        f.write_str(message)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Usage(format!("the configuration is no good:\n{errors}"))
    }
}
