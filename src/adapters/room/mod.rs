//! Room on this machine's disks: how much there is, and what lies in the environments' folders.

mod folders;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

pub use folders::EnvironmentFolders;

use crate::adapters::docker::DockerEngine;
use crate::domain::disk::{Counts, Disk};
use crate::ports::Disks;

/// How long is waited for the engine to name its folders: measuring must not hang where the engine does.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Measures the file systems of the data directory and of the engine.
pub struct LocalDisks {
    data_dir: PathBuf,
    /// None: it is not on this machine.
    engine: Option<Arc<DockerEngine>>,
    /// As the engine named them; empty: it was not asked yet.
    engine_folders: Mutex<Vec<PathBuf>>,
}

impl LocalDisks {
    /// `engine_host` as in `[engine] host`: one behind a unix socket is on this machine.
    pub fn new(data_dir: PathBuf, engine: Arc<DockerEngine>, engine_host: &str) -> Self {
        let engine = engine_host.starts_with("unix://").then_some(engine);
        Self { data_dir, engine, engine_folders: Mutex::default() }
    }

    /// Asked once: an engine does not move while it runs, nor often at all.
    async fn engine_folders(&self) -> Vec<PathBuf> {
        let known = || self.engine_folders.lock().unwrap_or_else(PoisonError::into_inner);
        if !known().is_empty() {
            return known().clone();
        }
        let Some(engine) = &self.engine else { return Vec::new() };
        let Ok(Ok(folders)) = tokio::time::timeout(ASK_LIMIT, engine.folders()).await else {
            return Vec::new();
        };
        *known() = folders.into_iter().map(PathBuf::from).collect();
        known().clone()
    }
}

#[async_trait]
impl Disks for LocalDisks {
    async fn measure(&self) -> Vec<Disk> {
        let mut folders = vec![(self.data_dir.clone(), true)];
        // In a container of its own drey may not see them.
        folders.extend(self.engine_folders().await.into_iter().map(|folder| (folder, false)));
        spawn_blocking(move || measure(&folders)).await.unwrap_or_default()
    }
}

fn measure(folders: &[(PathBuf, bool)]) -> Vec<Disk> {
    let mut seen = BTreeMap::new();
    for (folder, has_data) in folders.iter().filter(|(folder, _)| folder.is_dir()) {
        match disk(folder, *has_data) {
            Ok((device, disk)) => {
                seen.entry(device).or_insert(disk);
            }
            Err(error) => tracing::warn!(%error, path = %folder.display(), "a disk cannot be measured"),
        }
    }
    seen.into_values().collect()
}

/// With the number that tells file systems apart.
///
/// # Errors
/// When the system does not say.
fn disk(folder: &Path, has_data: bool) -> std::io::Result<(u64, Disk)> {
    use std::os::unix::fs::MetadataExt as _;

    let device = folder.metadata()?.dev();
    let found = rustix::fs::statvfs(folder)?;
    let blocks = Counts { total: found.f_blocks, free: found.f_bfree, available: found.f_bavail };
    let files = Counts { total: found.f_files, free: found.f_ffree, available: found.f_favail };
    let path = folder.display().to_string();
    Ok((device, Disk::new(path, has_data, blocks, found.f_frsize, files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_folders_of_one_disk_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("engine");
        std::fs::create_dir(&other).unwrap();
        let found = measure(&[
            (folder.path().to_owned(), true),
            (other, false),
            (folder.path().join("missing"), false),
            (PathBuf::from("/proc"), false),
        ]);
        let ours: Vec<&Disk> = found.iter().filter(|disk| disk.has_data).collect();
        assert_eq!((found.len(), ours.len()), (2, 1), "{found:?}");
        assert!(ours[0].total_bytes > 0 && ours[0].used_percent <= 100);
    }
}
