//! Control groups of environments and of builds: named here, made by the engine, removed here.
//!
//! With systemd a group is a slice, which systemd makes and removes by itself. Without it a group is a folder below
//! [`ROOT`], which stays when its last container is gone.

mod builds;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use builds::Builds;

use crate::adapters::docker::{CgroupDriver, DockerEngine};
use crate::domain::names::{EnvironmentId, InstanceId};
use crate::ports::{BuildGroup, Cgroups, PortError, PortResult};

/// Where the kernel shows them.
const ROOT: &str = "/sys/fs/cgroup";

/// The group of all builds, in the place of an environment's id.
const BUILDS: &str = "builds";

/// The groups of one instance of drey.
pub struct EngineCgroups {
    engine: Arc<DockerEngine>,
    instance: InstanceId,
    /// The engine is on this machine: its groups are those below [`ROOT`].
    is_local: bool,
    manner: OnceCell<Manner>,
    builds: Arc<Builds>,
}

/// How this engine takes a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// A folder's path.
    Path,
    /// A slice of systemd's.
    Slice,
    /// Not at all: it runs elsewhere, without root, or without groups.
    None,
}

impl EngineCgroups {
    pub fn new(engine: Arc<DockerEngine>, instance: InstanceId, engine_host: &str) -> Self {
        Self {
            engine,
            instance,
            is_local: engine_host.starts_with("unix://"),
            manner: OnceCell::new(),
            builds: Arc::default(),
        }
    }

    /// What `drey check` says of them.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn describe(&self) -> PortResult<Option<&'static str>> {
        Ok(match self.manner().await? {
            Manner::Path => Some("one for each environment (cgroupfs)"),
            Manner::Slice => Some("one slice for each environment (systemd)"),
            Manner::None => None,
        })
    }

    /// Asked once: an engine does not change it while it runs, and a group has to stay what it is for its containers' life.
    async fn manner(&self) -> PortResult<Manner> {
        let asked = self.manner.get_or_try_init(|| async {
            if !self.is_local {
                return Ok::<_, PortError>(Manner::None);
            }
            let facts = self.engine.facts().await?;
            let rootless = facts.security_options.iter().any(|option| option.contains("rootless"));
            Ok(match facts.cgroup_driver {
                _ if rootless => Manner::None,
                CgroupDriver::Folders => Manner::Path,
                CgroupDriver::Systemd => Manner::Slice,
                CgroupDriver::None => Manner::None,
            })
        });
        asked.await.copied()
    }

    fn name(&self, manner: Manner, what: &str) -> Option<String> {
        match manner {
            Manner::Path => Some(format!("/{}", folder(&self.instance, what))),
            // Each dash in a slice's name is a level: without them it is a level of its own at the top.
            Manner::Slice => Some(format!("{}.slice", folder(&self.instance, what).replace('-', "_"))),
            Manner::None => None,
        }
    }
}

/// Flat, without a folder for the instance: none could be removed safely while another life begins in it.
fn folder(instance: &InstanceId, what: &str) -> String {
    format!("drey-{instance}-{what}")
}

#[async_trait]
impl Cgroups for EngineCgroups {
    async fn parent(&self, id: EnvironmentId) -> PortResult<Option<String>> {
        Ok(self.name(self.manner().await?, &id.to_string()))
    }

    async fn builds(&self, memory: u64) -> PortResult<BuildGroup> {
        let manner = self.manner().await?;
        let Some(parent) = self.name(manner, BUILDS) else {
            return Ok(BuildGroup { parent: None, held: None });
        };
        let limited = match manner {
            Manner::Path => {
                let name = folder(&self.instance, BUILDS);
                let held = builds::hold(&self.builds, name, memory);
                return Ok(BuildGroup { parent: Some(parent), held: Some(Box::new(held)) });
            }
            Manner::Slice => self.builds.limit_slice(&parent, memory).await,
            Manner::None => Ok(()),
        };
        self.builds.tell(limited);
        Ok(BuildGroup { parent: Some(parent), held: None })
    }

    async fn remove(&self, id: EnvironmentId) -> PortResult<()> {
        if self.manner().await? != Manner::Path {
            return Ok(());
        }
        let name = folder(&self.instance, &id.to_string());
        let (builds, of_builds) = (self.builds.clone(), folder(&self.instance, BUILDS));
        let removed = tokio::task::spawn_blocking(move || {
            builds::remove_idle(&builds, &of_builds);
            tree::remove(&PathBuf::from(ROOT), &name)
        });
        let removed = removed.await;
        match removed {
            Ok(result) => result.map_err(|error| PortError::Transient(format!("control group: {error}"))),
            Err(error) => Err(PortError::outside("control group", error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::docker::DockerSettings;

    #[tokio::test]
    async fn names_are_the_engines_kind_of_name() {
        let settings =
            DockerSettings { host: "tcp://127.0.0.1:1".to_owned(), reach: None, registries: Vec::new() };
        let engine = Arc::new(DockerEngine::new(settings));
        let cgroups = EngineCgroups::new(engine, InstanceId("ab12".to_owned()), "tcp://127.0.0.1:1");
        assert_eq!(cgroups.name(Manner::Path, "7").as_deref(), Some("/drey-ab12-7"));
        assert_eq!(cgroups.name(Manner::Slice, "7").as_deref(), Some("drey_ab12_7.slice"));
        assert_eq!(cgroups.parent(EnvironmentId(7)).await.unwrap(), None, "an engine elsewhere has its own");
    }
}
