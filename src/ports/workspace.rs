//! The environment's own files and logs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{LogSink, PortResult};
use crate::domain::names::EnvironmentId;
use crate::domain::stack::BindSpec;

/// `DATA_DIR/environments/<id>/`: checkout, bound files, compose document, logs.
#[async_trait]
pub trait Workspace: Send + Sync {
    /// The environment's folder; it need not be there.
    fn directory(&self, environment: EnvironmentId) -> PathBuf;
    /// Where the bound files lie.
    fn binds_directory(&self, environment: EnvironmentId) -> PathBuf;
    /// A path for a checkout where nothing is: what a former life left there is removed.
    async fn fresh_checkout(&self, environment: EnvironmentId) -> PortResult<PathBuf>;
    /// Removes the checkout; gone already is success.
    async fn discard_checkout(&self, environment: EnvironmentId) -> PortResult<()>;
    /// Content ids that are written out, whole.
    async fn binds(&self, environment: EnvironmentId) -> PortResult<BTreeSet<String>>;
    /// Copies what is bound out of the checkout; what is there already is left alone.
    async fn write_binds(
        &self,
        environment: EnvironmentId,
        checkout: &Path,
        binds: &[BindSpec],
    ) -> PortResult<()>;
    /// Removes all bound files but those of these content ids.
    async fn prune_binds(&self, environment: EnvironmentId, keep: &BTreeSet<String>) -> PortResult<()>;
    /// Removes the environment's folder with everything in it; gone already is success.
    async fn remove(&self, environment: EnvironmentId) -> PortResult<()>;
}

/// Logs of deployments and of containers that are gone.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Appends to a deployment's log; each line goes to the followers too.
    fn deployment(&self, environment: EnvironmentId, deployment: i64) -> Arc<dyn LogSink>;
    /// A file for a container's log, of its own for each id. What was saved of that container before gives way to
    /// the first line; files of other containers stay, up to a limit in all.
    fn container(&self, environment: EnvironmentId, name: &str, id: &str) -> Arc<dyn LogSink>;
    /// The lines of a deployment's log so far; none when there is no such log.
    async fn read(&self, environment: EnvironmentId, deployment: i64) -> PortResult<Vec<String>>;
    /// Lines of this environment's deployments from now on.
    fn follow(&self, environment: EnvironmentId) -> broadcast::Receiver<String>;
    /// All logs kept for the environment: path inside an archive → file.
    async fn files(&self, environment: EnvironmentId) -> PortResult<Vec<(String, PathBuf)>>;
    /// Forgets the followers of an environment that is over.
    fn close(&self, environment: EnvironmentId);
}
