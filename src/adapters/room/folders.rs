//! `DATA_DIR/environments/`, seen from above: which folders there are, their logs, and what was left half made.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use crate::domain::leftovers::LogFile;
use crate::domain::names::EnvironmentId;
use crate::domain::time::Timestamp;
use crate::ports::{Clock, Folders, PortError, PortResult};

/// Where an environment's logs lie in its folder, with the names of `adapters::logs`.
const LOGS: [&str; 2] = ["logs", "logs/containers"];
/// Suffix of a bind that is being written, as `adapters::workspace` names it.
const UNFINISHED: &str = ".unfinished";

/// The folders on the local disk.
pub struct EnvironmentFolders {
    root: PathBuf,
    clock: Arc<dyn Clock>,
}

impl EnvironmentFolders {
    /// `root` is `DATA_DIR/environments`.
    pub fn new(root: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { root, clock }
    }
}

#[async_trait]
impl Folders for EnvironmentFolders {
    async fn environments(&self) -> PortResult<Vec<EnvironmentId>> {
        let root = self.root.clone();
        blocking(move || {
            let ids = entries(&root)?
                .into_iter()
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(EnvironmentId));
            Ok(ids.collect())
        })
        .await
    }

    async fn logs(&self, environments: &[EnvironmentId]) -> PortResult<Vec<LogFile>> {
        let (root, environments) = (self.root.clone(), environments.to_vec());
        blocking(move || {
            let mut logs = Vec::new();
            for id in environments {
                for folder in LOGS {
                    logs.extend(logs_in(&root.join(id.to_string()), folder, id)?);
                }
            }
            Ok(logs)
        })
        .await
    }

    async fn remove_log(&self, log: &LogFile) -> PortResult<()> {
        let path = self.root.join(log.environment.to_string()).join(&log.name);
        blocking(move || match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        })
        .await
    }

    async fn remove_half_made(
        &self,
        environments: &[EnvironmentId],
        untouched: Duration,
    ) -> PortResult<Vec<String>> {
        let (root, environments, now) = (self.root.clone(), environments.to_vec(), self.clock.now());
        blocking(move || {
            let mut removed = Vec::new();
            for id in environments {
                let folder = root.join(id.to_string());
                let binds = entries(&folder.join("binds"))?.into_iter();
                let half = binds.filter(|entry| entry.file_name().to_string_lossy().ends_with(UNFINISHED));
                for path in half.map(|entry| entry.path()).chain([folder.join("checkout")]) {
                    if path.metadata().is_ok_and(|facts| now.since(changed(&facts)) > untouched) {
                        fs::remove_dir_all(&path)?;
                        removed.push(path.display().to_string());
                    }
                }
            }
            Ok(removed)
        })
        .await
    }
}

fn logs_in(environment: &Path, folder: &str, id: EnvironmentId) -> io::Result<Vec<LogFile>> {
    let log = |entry: &DirEntry| {
        let name = entry.file_name().into_string().ok().filter(|name| name.ends_with(".log"))?;
        let facts = entry.metadata().ok().filter(Metadata::is_file)?;
        let deployment = name.strip_prefix("deployment-").and_then(|rest| rest.strip_suffix(".log"));
        Some(LogFile {
            environment: id,
            deployment: deployment.and_then(|number| number.parse().ok()),
            name: format!("{folder}/{name}"),
            changed_at: changed(&facts),
            size_bytes: facts.len(),
        })
    };
    Ok(entries(&environment.join(folder))?.iter().filter_map(log).collect())
}

/// None where there is no such folder.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn changed(facts: &Metadata) -> Timestamp {
    let since = facts.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    Timestamp::from_millis(millis.unwrap_or(0))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> PortResult<T> {
    let told = |text: &str| PortError::Transient(format!("folders of environments: {text}"));
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| told(&error.to_string())),
        Err(_) => Err(told("the work was given up")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    struct At(i64);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0 * 1000)
        }
    }

    fn write(path: &Path, second: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    }

    fn age(folder: &Path, second: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        fs::File::open(folder).unwrap().set_modified(time).unwrap();
    }

    #[tokio::test]
    async fn logs_are_found_with_their_age_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let folders = EnvironmentFolders::new(root.path().to_owned(), Arc::new(At(1000)));
        assert!(folders.environments().await.unwrap().is_empty());
        let environment = root.path().join("7");
        write(&environment.join("logs/deployment-3.log"), 5);
        write(&environment.join("logs/containers/web.c0ffee.log"), 6);
        write(&environment.join("logs/deployment-4.partial"), 6);
        write(&root.path().join("lost+found/x"), 6);
        assert_eq!(folders.environments().await.unwrap(), [EnvironmentId(7)]);
        let logs = folders.logs(&[EnvironmentId(7), EnvironmentId(8)]).await.unwrap();
        let names: Vec<(&str, Option<i64>)> =
            logs.iter().map(|log| (log.name.as_str(), log.deployment)).collect();
        assert_eq!(names, [("logs/deployment-3.log", Some(3)), ("logs/containers/web.c0ffee.log", None)]);
        assert_eq!(logs[0].changed_at, Timestamp::from_millis(5000));
        for _ in 0..2 {
            folders.remove_log(&logs[0]).await.unwrap();
        }
        assert_eq!(folders.logs(&[EnvironmentId(7)]).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn only_what_is_half_made_and_old_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let environment = root.path().join("7");
        for name in ["checkout", "binds/a.unfinished", "binds/b"] {
            fs::create_dir_all(environment.join(name)).unwrap();
            age(&environment.join(name), 100);
        }
        let removed = |second, untouched| {
            let folders = EnvironmentFolders::new(root.path().to_owned(), Arc::new(At(second)));
            async move { folders.remove_half_made(&[EnvironmentId(7)], untouched).await.unwrap().len() }
        };
        assert_eq!(removed(150, Duration::from_secs(60)).await, 0, "somebody may be at it");
        assert_eq!(removed(200, Duration::from_secs(60)).await, 2);
        assert!(environment.join("binds/b").exists());
    }
}
