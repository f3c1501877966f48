//! What environments have written: the engine's word for containers, the disk's for volumes.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};

use super::observe::INSTANCE_LABEL;
use super::{DockerEngine, OBSERVE_LIMIT, call};
use crate::domain::names::{EnvironmentId, InstanceId};
use crate::ports::{PortError, PortResult};

const ENVIRONMENT_LABEL: &str = "drey.environment";
/// Files and folders of a volume that are counted; what has more is large enough.
const MOST_ENTRIES: usize = 200_000;

/// Bytes by environment. The engine walks through what each container wrote: for when it is needed.
pub(super) async fn written(
    engine: &DockerEngine,
    instance: &InstanceId,
) -> PortResult<BTreeMap<EnvironmentId, u64>> {
    let client = engine.client()?.with_timeout(OBSERVE_LIMIT);
    let filters = HashMap::from([("label", vec![format!("{INSTANCE_LABEL}={instance}")])]);
    let containers = ListContainersOptionsBuilder::default().all(true).size(true).filters(&filters).build();
    let volumes = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let containers = call("containers", OBSERVE_LIMIT, client.list_containers(Some(containers))).await?;
    let volumes = call("volumes", OBSERVE_LIMIT, client.list_volumes(Some(volumes))).await?;
    let mut sizes = BTreeMap::new();
    let mut add = |labels: &HashMap<String, String>, bytes: u64| {
        if let Some(id) = labels.get(ENVIRONMENT_LABEL).and_then(|id| id.parse().ok()) {
            *sizes.entry(EnvironmentId(id)).or_insert(0_u64) += bytes;
        }
    };
    for container in containers {
        let bytes = container.size_rw.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        add(&container.labels.unwrap_or_default(), bytes);
    }
    let volumes = volumes.volumes.unwrap_or_default();
    let folders: Vec<_> = volumes.into_iter().map(|it| (it.labels, PathBuf::from(it.mountpoint))).collect();
    let counted = tokio::task::spawn_blocking(move || {
        folders.into_iter().map(|(labels, folder)| (labels, bytes_in(&folder))).collect::<Vec<_>>()
    });
    for (labels, bytes) in counted.await.map_err(|error| PortError::outside("volumes", error.to_string()))? {
        add(&labels, bytes);
    }
    Ok(sizes)
}

/// Bytes that a folder takes on its disk; what cannot be read counts for nothing, links are not followed.
fn bytes_in(folder: &Path) -> u64 {
    let (mut bytes, mut left, mut open) = (0_u64, MOST_ENTRIES, vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return bytes;
            }
            let Ok(facts) = entry.metadata() else { continue };
            bytes = bytes.saturating_add(facts.blocks().saturating_mul(512));
            if facts.is_dir() {
                open.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_counted_with_all_in_it_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let empty = bytes_in(folder.path());
        std::fs::write(folder.path().join("a/b"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("link")).unwrap();
        let grown = bytes_in(folder.path()) - empty;
        assert!(((1 << 20)..(3 << 20)).contains(&grown), "{grown}");
    }
}
