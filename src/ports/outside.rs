//! Time, logs, routes, archives.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use super::{Outgoing, PortResult};
use crate::domain::environment::ArchiveRecord;
use crate::domain::names::{EnvironmentId, ProjectName};
use crate::domain::presence::Presence;
use crate::domain::route::{RouteTable, Upstream};
use crate::domain::time::Timestamp;
use crate::domain::visitors::KnownTokens;

/// The only reader of the clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, which no step of the wall clock changes. A clock that is never stepped need not
    /// tell the two apart.
    fn steady(&self) -> Duration {
        self.now().since(Timestamp::from_millis(0))
    }
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
    /// From now on these tokens let their bearers look. Whoever asks nobody for one needs none.
    fn know(&self, _tokens: KnownTokens) {}
}

/// Who comes to environments.
#[async_trait]
pub trait Visitors: Send + Sync {
    /// The last use of each environment that had one since this was last asked. What is open is used now.
    fn take_visits(&self) -> Vec<(EnvironmentId, Timestamp)>;
    /// Who is with it at this moment.
    fn presence(&self, environment: EnvironmentId) -> Presence;
    /// Ends its tunnels (connections that were upgraded), with a word of farewell; returns when they are over.
    async fn dismiss(&self, environment: EnvironmentId);
    /// Ends whatever else is open: its containers are frozen and answer no more. What comes from now on stays.
    fn cut(&self, environment: EnvironmentId);
}

/// Asks a service whether it answers.
#[async_trait]
pub trait Prober: Send + Sync {
    /// One `GET path` with the public host and protocol, or one TCP connect where the scheme says so.
    /// `Ok(None)`: connected, no HTTP spoken; `Ok(Some(status))`: the HTTP status; an error: no answer.
    async fn probe(&self, upstream: &Upstream, url: &ProbeUrl, limit: Duration) -> PortResult<Option<u16>>;
}

/// Programs that drey started.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Waits until those that were ended by force are gone; says how many groups of them are still there after `limit`.
    async fn gone(&self, limit: Duration) -> usize;
}

/// What a probe asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeUrl {
    /// Public host, with the port where it is not the protocol's own.
    pub host: String,
    /// `http` or `https`, as the visitor will use.
    pub proto: String,
    pub path: String,
}

/// Version of what is inside an archive; a reader refuses a newer one. Since 2 it holds volumes.
pub const ARCHIVE_FORMAT: u64 = 2;

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
    pub project: ProjectName,
    pub volumes: Vec<ArchivedVolume>,
    /// References of images that go in.
    pub images: Vec<String>,
}

/// What is put back out of an archive.
#[derive(Clone, Copy, Debug)]
pub enum Restoring<'a> {
    /// All images that it has.
    Images,
    /// Into volumes that are there and empty. One that the archive does not have stays empty.
    Volumes { project: &'a ProjectName, volumes: &'a [ArchivedVolume] },
}

/// A volume, in an archive and on the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedVolume {
    /// Its key in the compose file; in the archive it lies below `volumes/<key>`.
    pub key: String,
    /// On the engine.
    pub name: String,
}

/// What is kept of environments.
#[async_trait]
pub trait Archives: Send + Sync {
    /// Writes to a temporary name, fsyncs, reads back, renames. Twice with the same id gives one archive.
    async fn write(&self, parts: ArchiveParts) -> PortResult<ArchiveRecord>;
    /// `manifest.json` of an archive.
    async fn manifest(&self, id: &str) -> PortResult<serde_json::Value>;
    /// Reads every byte back and compares it with what the archive says of itself. Permanent errors name the damage;
    /// `NotFound`: the file is gone.
    async fn verify(&self, id: &str) -> PortResult<()>;
    /// Compares the whole file with the digest of its record; an older record without one gets [`Self::verify`].
    async fn check(&self, record: &ArchiveRecord) -> PortResult<()>;
    /// Puts a part of it back onto the engine.
    async fn restore(&self, id: &str, what: Restoring<'_>) -> PortResult<()>;
    /// Sends what lies at `path` and below it as a tar stream whose paths begin with the last part of `path`.
    async fn extract(&self, id: &str, path: &str, into: Outgoing) -> PortResult<()>;
    /// Removes the file, durably; gone already is success.
    async fn remove(&self, id: &str) -> PortResult<()>;
    /// Ids of the files that are there, sorted.
    async fn ids(&self) -> PortResult<Vec<String>>;
}
