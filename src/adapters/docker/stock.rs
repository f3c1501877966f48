//! What drey built on the engine, and the engine's build cache.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::SystemInfoCgroupDriverEnum as Driver;
use bollard::query_parameters::{ListImagesOptionsBuilder, PruneBuildOptionsBuilder};

use super::{CALL_LIMIT, DockerEngine, call, written};
use crate::domain::leftovers::BuiltImage;
use crate::domain::names::{EnvironmentId, InstanceId};
use crate::domain::time::Timestamp;
use crate::ports::{PortResult, Stock};

/// Removing many gigabytes takes its time.
const PRUNE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// The first version (minor number of API 1.x) that knows this name for what is to be left. An older one goes by age alone.
const KNOWS_RESERVED_SPACE: u32 = 48;
/// Where containerd keeps images, on engines that leave them to it.
const CONTAINERD_ROOT: &str = "/var/lib/containerd";

#[async_trait]
impl Stock for DockerEngine {
    async fn built_images(&self, instance: &InstanceId) -> PortResult<Vec<BuiltImage>> {
        let labels = vec!["drey.managed=true".to_owned(), format!("drey.instance={instance}")];
        let options =
            ListImagesOptionsBuilder::default().filters(&HashMap::from([("label", labels)])).build();
        let client = self.client()?;
        let images = call("images", CALL_LIMIT, client.list_images(Some(options))).await?;
        let image = |image: bollard::models::ImageSummary| BuiltImage {
            id: image.id,
            tags: image.repo_tags.into_iter().filter(|tag| !tag.contains("<none>")).collect(),
            created_at: Timestamp::from_millis(image.created.saturating_mul(1000)),
            size_bytes: u64::try_from(image.size).unwrap_or(0),
        };
        Ok(images.into_iter().map(image).collect())
    }

    async fn written(&self, instance: &InstanceId) -> PortResult<BTreeMap<EnvironmentId, u64>> {
        written::written(self, instance).await
    }

    async fn prune_build_cache(&self, unused: Duration, keep_bytes: u64) -> PortResult<u64> {
        let client = self.client()?.with_timeout(PRUNE_LIMIT);
        let until = format!("{}s", unused.as_secs());
        let mut options =
            PruneBuildOptionsBuilder::default().all(true).filters(&HashMap::from([("until", vec![until])]));
        if api_minor(&client).await? >= KNOWS_RESERVED_SPACE {
            options = options.reserved_space(i64::try_from(keep_bytes).unwrap_or(i64::MAX));
        }
        let pruned = call("build cache", PRUNE_LIMIT, client.prune_build(Some(options.build()))).await?;
        Ok(pruned.space_reclaimed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }
}

/// Who makes control groups for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// It does so itself (`cgroupfs`).
    Folders,
    Systemd,
    /// Nobody.
    None,
}

/// What an engine says of itself.
#[derive(Clone, Debug)]
pub struct EngineFacts {
    pub cgroup_driver: CgroupDriver,
    /// For instance `name=rootless`.
    pub security_options: Vec<String>,
}

impl DockerEngine {
    /// How it confines what it runs.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn facts(&self) -> PortResult<EngineFacts> {
        let client = self.client()?;
        let info = call("engine", CALL_LIMIT, client.info()).await?;
        Ok(EngineFacts {
            cgroup_driver: match info.cgroup_driver {
                Some(Driver::CGROUPFS) => CgroupDriver::Folders,
                Some(Driver::SYSTEMD) => CgroupDriver::Systemd,
                Some(Driver::NONE | Driver::EMPTY) | None => CgroupDriver::None,
            },
            security_options: info.security_options.unwrap_or_default(),
        })
    }

    /// Folders where the engine keeps what it has, as it names them: they need not be on this machine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn folders(&self) -> PortResult<Vec<String>> {
        let client = self.client()?;
        let info = call("engine", CALL_LIMIT, client.info()).await?;
        let mut folders: Vec<String> = info.docker_root_dir.into_iter().collect();
        let status = info.driver_status.unwrap_or_default();
        if status.iter().flatten().any(|word| word.contains("io.containerd.snapshotter")) {
            folders.push(CONTAINERD_ROOT.to_owned());
        }
        Ok(folders)
    }
}

/// 51 of `1.51`.
async fn api_minor(client: &Docker) -> PortResult<u32> {
    let version = call("engine", CALL_LIMIT, client.version()).await?.api_version.unwrap_or_default();
    Ok(version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0))
}
