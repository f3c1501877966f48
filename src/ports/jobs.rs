//! Commands in containers that run.

use std::time::Duration;

use async_trait::async_trait;

use super::{LogSink, PortResult};

/// Runs jobs.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Runs the command in the container to its end, or to its time limit, where it is ended by force. One that runs
    /// there already, from a life of the daemon before, is awaited instead. Dropping the future ends nothing: the
    /// command goes on in the container.
    async fn run(&self, request: &JobRequest, log: &dyn LogSink) -> PortResult<JobEnd>;
}

/// What is to run, as the container's own user and in its own folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// Id of a container that runs.
    pub container: String,
    /// Whose lines the output is.
    pub service: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Letters and digits by which the processes of this job are told from all others in the container.
    pub mark: String,
    pub within: Duration,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// By itself, with its exit code.
    Exited(i64),
    /// It was too slow and was ended.
    Cut,
    /// It was too slow and could not be ended: it goes on in the container.
    Escaped,
}
