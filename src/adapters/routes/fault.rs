//! Why routes did not come into force.

use thiserror::Error;

use crate::ports::PortError;

/// Each says what to do, where anything can be done. All are tried again.
#[derive(Debug, Error)]
pub enum Fault {
    /// A template is wrong: names the file and, where it is known, the line.
    #[error("{0}")]
    Template(String),
    /// The proxy finds the configuration faulty, and no single environment is to blame.
    #[error("the proxy refuses the configuration: {0}")]
    Refused(String),
    /// It could not be written.
    #[error("the configuration cannot be written: {0}")]
    Disk(String),
    /// The proxy does not run, and nothing of it answers. What was written counts when it starts.
    #[error("the proxy does not run: {0}")]
    Down(String),
    /// Its container is not as it has to be: says what is, and what to do.
    #[error("{0}")]
    Container(String),
    /// It was told, and goes on with the former configuration.
    #[error("the proxy did not take the new configuration up: {0}")]
    Unconfirmed(String),
    /// It could not be spoken to.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl Fault {
    /// For the figures.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Template(_) => "template",
            Self::Refused(_) => "refused",
            Self::Disk(_) => "disk",
            Self::Down(_) => "down",
            Self::Container(_) => "container",
            Self::Unconfirmed(_) => "unconfirmed",
            Self::Port(_) => "unreachable",
        }
    }
}
