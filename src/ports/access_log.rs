//! What visitors asked for, told when it was answered.

use std::time::Duration;

use async_trait::async_trait;

use super::PortResult;
use crate::domain::names::EnvironmentId;
use crate::domain::time::Timestamp;

/// One request, answered to its end or given up. All text in it is a stranger's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    pub environment: EnvironmentId,
    /// When its answer began.
    pub at: Timestamp,
    pub method: String,
    pub host: String,
    /// With the names of its query, without their values: those are nobody else's concern.
    pub path: String,
    pub status: u16,
    /// Bytes of bodies; those of a tunnel are not among them.
    pub received: u64,
    pub sent: u64,
    /// Waited for the branch.
    pub held: Duration,
    /// From asking the container to the head of its answer; none where none was asked.
    pub upstream: Option<Duration>,
    /// To the end of the answer.
    pub total: Duration,
    pub service: String,
    pub client: String,
    pub agent: String,
    /// `1.0`, `1.1` or `2`.
    pub http: &'static str,
}

/// How far a log was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMark {
    /// Which file, by a number that a file keeps when it is renamed.
    pub file: u64,
    pub offset: u64,
}

/// Keeps what visitors asked for, a file for each environment.
#[async_trait]
pub trait AccessLog: Send + Sync {
    /// Takes a request. Never waits: what there is no room for is counted as lost.
    fn record(&self, record: AccessRecord);
    /// Lines of JSON since the mark, all that are kept without one; and the mark to go on from.
    async fn read(
        &self,
        environment: EnvironmentId,
        since: Option<LogMark>,
    ) -> PortResult<(Vec<String>, LogMark)>;
}
