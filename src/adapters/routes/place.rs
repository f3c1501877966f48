//! Where a proxy runs: as a process of this machine, or in a container.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use super::fault::Fault;
use crate::adapters::process::{Command, Told, tell};
use crate::ports::{PortError, PortResult};

/// Reading a configuration of thousands of hosts takes seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// What the proxy's program said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub ok: bool,
    /// Both outputs.
    pub text: String,
}

/// Runs the proxy's program beside the one that serves, and tells that one.
#[async_trait]
pub trait Place: Send + Sync {
    async fn run(&self, arguments: Vec<String>) -> PortResult<Said>;
    /// [`Fault::Down`] where nothing runs that could be told.
    async fn tell(&self, told: Told) -> Result<(), Fault>;
    /// Where drey asks what the proxy tells at this address of its own; none where it is not known now.
    fn asked_at(&self, listen: SocketAddr) -> Option<SocketAddr> {
        Some(listen)
    }
    /// Changes when another program may be there; none: it may at any time.
    fn life(&self) -> Option<String> {
        None
    }
    /// The program answers only while the proxy runs.
    fn is_asked_inside(&self) -> bool {
        false
    }
}

/// A process of this machine, which somebody else starts and ends.
#[derive(Clone, Debug)]
pub struct HostProcess {
    /// A path, or a name that is looked for in `PATH`.
    pub program: String,
    /// Where it writes the number of its first process.
    pub pid_file: PathBuf,
    /// What it says to start it.
    pub start: String,
}

#[async_trait]
impl Place for HostProcess {
    async fn run(&self, arguments: Vec<String>) -> PortResult<Said> {
        let output = Command::new(&self.program).args(arguments).time_limit(LIMIT).output().await;
        let output = output.map_err(|error| match error {
            PortError::Permanent(text) | PortError::NotFound(text) => {
                PortError::Permanent(format!("{text}; install it, or name its program with `binary`"))
            }
            other @ (PortError::Transient(_)
            | PortError::Refused(_)
            | PortError::NoRoom(_)
            | PortError::Cancelled) => other,
        })?;
        let text = format!("{}{}", output.text(), output.stderr);
        Ok(Said { ok: output.succeeded(), text: text.trim().to_owned() })
    }

    async fn tell(&self, told: Told) -> Result<(), Fault> {
        let name = std::path::Path::new(&self.program).file_name().unwrap_or_default().to_string_lossy();
        match tell(&self.pid_file, &name, told) {
            Err(PortError::NotFound(why)) => Err(Fault::Down(format!("{why}; start it: {}", self.start))),
            other => Ok(other?),
        }
    }
}
