//! Room: how much there is, and what can be removed to make some.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::PortResult;
use crate::domain::disk::Disk;
use crate::domain::leftovers::{BuiltImage, LogFile};
use crate::domain::names::{EnvironmentId, InstanceId};

/// Measures the file systems that matter.
#[async_trait]
pub trait Disks: Send + Sync {
    /// That of the data directory and, where this machine has it, that of the engine. One that cannot be measured is left
    /// out; two folders on the same are one.
    async fn measure(&self) -> Vec<Disk>;
}

/// What drey made on the engine and may not need any more.
#[async_trait]
pub trait Stock: Send + Sync {
    /// Images with all of drey's labels of this instance, also those without a tag.
    async fn built_images(&self, instance: &InstanceId) -> PortResult<Vec<BuiltImage>>;
    /// Bytes that each environment of this instance has written into its containers and volumes. Costly.
    async fn written(&self, instance: &InstanceId) -> PortResult<BTreeMap<EnvironmentId, u64>>;
    /// Removes from the build cache what nobody used for so long, until so many bytes are left. The bytes that came free.
    async fn prune_build_cache(&self, unused: Duration, keep_bytes: u64) -> PortResult<u64>;
}

/// The environments' folders, seen from above.
#[async_trait]
pub trait Folders: Send + Sync {
    /// Ids that have a folder; names that are no id are left out.
    async fn environments(&self) -> PortResult<Vec<EnvironmentId>>;
    /// All logs of these environments.
    async fn logs(&self, environments: &[EnvironmentId]) -> PortResult<Vec<LogFile>>;
    /// Removes a log; gone already is success.
    async fn remove_log(&self, log: &LogFile) -> PortResult<()>;
    /// Removes what a killed daemon left half made in the folders of these environments and nobody has touched for so long:
    /// checkouts and bound files. The paths.
    async fn remove_half_made(
        &self,
        environments: &[EnvironmentId],
        untouched: Duration,
    ) -> PortResult<Vec<String>>;
}
