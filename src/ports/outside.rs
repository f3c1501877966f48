//! Time, logs, routes, archives.

use std::path::PathBuf;

use async_trait::async_trait;

use super::PortResult;
use crate::domain::environment::ArchiveRecord;
use crate::domain::route::RouteTable;
use crate::domain::time::Timestamp;

/// The only reader of the clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// One line of a deployment's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Service, or the part of drey that speaks: `drey`, `git`, `compose`, `build`.
    pub source: String,
    /// Without its line break. Untrusted text.
    pub text: String,
}

/// Takes log lines. Never blocks for long, never fails: a lost line is reported by the sink itself.
pub trait LogSink: Send + Sync {
    fn line(&self, line: LogLine);
}

/// Takes route tables.
pub trait RoutePublisher: Send + Sync {
    /// Puts the table in force at once, as a whole. Connections of routes that did not change are not touched.
    fn publish(&self, table: RouteTable);
}

/// What goes into an archive besides `index.json`.
#[derive(Clone, Debug)]
pub struct ArchiveParts {
    /// All but size and verification, which the archive finds out.
    pub record: ArchiveRecord,
    /// `manifest.json`, first entry.
    pub manifest: serde_json::Value,
    /// Entry path → file on disk.
    pub files: Vec<(String, PathBuf)>,
    /// Entry path → bytes.
    pub documents: Vec<(String, Vec<u8>)>,
}

/// What is kept of environments.
#[async_trait]
pub trait Archives: Send + Sync {
    /// Writes to a temporary name, fsyncs, renames, reads back. Twice with the same id gives one archive.
    async fn write(&self, parts: ArchiveParts) -> PortResult<ArchiveRecord>;
    /// `manifest.json` of an archive.
    async fn manifest(&self, id: &str) -> PortResult<serde_json::Value>;
}
