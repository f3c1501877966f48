//! Logs as files: one a deployment, one for each container that is gone.

mod access;
mod containers;
mod growing;
mod redacted;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::broadcast;

pub use self::access::{AccessWriter, FileAccessLog};
use self::containers::ContainerSink;
use self::growing::GrowingSink;
use self::redacted::{Beginning, Redacted};
use crate::domain::names::EnvironmentId;
use crate::ports::{Clock, LogSink, Logs, PortError, PortResult, Redactor};

/// Lines a follower may lag behind before it loses some.
const FOLLOWER_BUFFER: usize = 1024;
/// Folder of the containers' logs, beside those of the deployments.
const CONTAINERS: &str = "containers";

type Followers = Arc<Mutex<BTreeMap<EnvironmentId, broadcast::Sender<String>>>>;

/// Files under `DATA_DIR/environments/<id>/logs/`.
pub struct FileLogs {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
    followers: Followers,
}

impl FileLogs {
    /// `root` is `DATA_DIR/environments`.
    pub fn new(root: PathBuf, clock: Arc<dyn Clock>, redactor: Arc<Redactor>) -> Self {
        Self { root, clock, redactor, followers: Arc::default() }
    }

    fn directory(&self, environment: EnvironmentId) -> PathBuf {
        self.root.join(environment.to_string()).join("logs")
    }

    fn followers_of(&self, environment: EnvironmentId) -> broadcast::Sender<String> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.entry(environment).or_insert_with(|| broadcast::channel(FOLLOWER_BUFFER).0).clone()
    }
}

#[async_trait]
impl Logs for FileLogs {
    fn deployment(&self, environment: EnvironmentId, deployment: i64) -> Arc<dyn LogSink> {
        let path = self.directory(environment).join(format!("deployment-{deployment}.log"));
        let sink = GrowingSink::open(&path, self.clock.clone(), self.followers_of(environment));
        Arc::new(Redacted::new(sink, self.redactor.clone(), Beginning::Text))
    }

    fn container(&self, environment: EnvironmentId, name: &str, id: &str) -> Arc<dyn LogSink> {
        let folder = self.directory(environment).join(CONTAINERS);
        let sink = ContainerSink::new(folder, name, id, self.clock.clone());
        Arc::new(Redacted::new(sink, self.redactor.clone(), Beginning::Time))
    }

    async fn read(&self, environment: EnvironmentId, deployment: i64) -> PortResult<Vec<String>> {
        let path = self.directory(environment).join(format!("deployment-{deployment}.log"));
        match tokio::fs::read(&path).await {
            // Again: what was written may hold what is a secret only since then.
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes)
                .lines()
                .map(|line| self.redactor.text(line).into_owned())
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(PortError::Transient(format!("{}: {error}", path.display()))),
        }
    }

    fn follow(&self, environment: EnvironmentId) -> broadcast::Receiver<String> {
        self.followers_of(environment).subscribe()
    }

    async fn files(&self, environment: EnvironmentId) -> PortResult<Vec<(String, PathBuf)>> {
        let directory = self.directory(environment);
        let mut files = Vec::new();
        for (folder, prefix) in [(directory.clone(), "logs"), (directory.join(CONTAINERS), "logs/containers")]
        {
            files.extend(finished(&folder).map(|(name, path)| (format!("{prefix}/{name}"), path)));
        }
        files.sort();
        Ok(files)
    }

    fn close(&self, environment: EnvironmentId) {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).remove(&environment);
    }
}

/// Name and path of each log in the folder; nothing where there is no such folder.
fn finished(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name.ends_with(".log") || access::is_access_log(&name)).then(|| (name, entry.path()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::ports::LogLine;

    pub(super) struct Noon;
    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    #[tokio::test]
    async fn no_log_and_no_follower_gets_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let redactor = Arc::new(Redactor::default());
        redactor.learn([&b"hunter22"[..]]);
        let logs = FileLogs::new(folder.path().to_owned(), Arc::new(Noon), redactor);
        let id = EnvironmentId(3);
        let mut follower = logs.follow(id);
        for sink in [logs.deployment(id, 1), logs.container(id, "web", "c0ffee")] {
            sink.line(LogLine { source: "web".into(), text: "0 it is hunter22, aHVudGVyMjI=".into() });
        }
        assert_eq!(follower.recv().await.unwrap(), "1970-01-01T00:00:00.000Z web | 0 it is ***, ***");
        for (name, path) in logs.files(id).await.unwrap() {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.contains("it is ***, ***") && !text.contains("hunter22"), "{name}: {text}");
        }
    }

    #[tokio::test]
    async fn lines_are_kept_and_followed() {
        let folder = tempfile::tempdir().unwrap();
        let logs = FileLogs::new(folder.path().to_owned(), Arc::new(Noon), Arc::default());
        let id = EnvironmentId(3);
        let mut follower = logs.follow(id);
        for sink in [logs.deployment(id, 1), logs.deployment(id, 1)] {
            sink.line(LogLine { source: "drey".into(), text: "hello".into() });
        }
        assert_eq!(follower.recv().await.unwrap(), "1970-01-01T00:00:00.000Z drey | hello");
        assert_eq!(logs.read(id, 1).await.unwrap().len(), 2);
        assert!(logs.read(id, 2).await.unwrap().is_empty());
        logs.container(id, "../x", "c0ffee").line(LogLine { source: "x".into(), text: "t y".into() });
        let names: Vec<String> = logs.files(id).await.unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["logs/containers/%2E.%2Fx.c0ffee.log", "logs/deployment-1.log"]);
    }
}
