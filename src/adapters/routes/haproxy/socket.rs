//! The socket on which `HAProxy` is told and asked while it runs.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::ports::{PortError, PortResult};

/// It answers within a millisecond.
const LIMIT: Duration = Duration::from_secs(5);
/// Answers to what is asked here are short.
const LONGEST_ANSWER: u64 = 1024 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

impl Socket {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The answer to one line of commands.
    pub(super) async fn ask(&self, command: &str) -> PortResult<String> {
        let asked = tokio::time::timeout(LIMIT, self.converse(command)).await;
        let failed = |why: String| PortError::Transient(format!("{}: {why}", self.path.display()));
        asked
            .map_err(|_slow| failed("gives no answer".to_owned()))?
            .map_err(|error| failed(error.to_string()))
    }

    async fn converse(&self, command: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.path).await?;
        stream.write_all(command.as_bytes()).await?;
        stream.write_all(b"\n").await?;
        let mut answer = String::new();
        stream.take(LONGEST_ANSWER).read_to_string(&mut answer).await?;
        Ok(answer)
    }
}
