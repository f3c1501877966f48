//! Logs as files: one a deployment, one for each container that is gone.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::domain::names::EnvironmentId;
use crate::ports::{Clock, LogLine, LogSink, Logs, PortError, PortResult};

/// Most bytes of one log; what comes after is left out, and one line says so.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;
/// Lines a follower may lag behind before it loses some.
const FOLLOWER_BUFFER: usize = 1024;

type Followers = Arc<Mutex<BTreeMap<EnvironmentId, broadcast::Sender<String>>>>;

/// Files under `DATA_DIR/environments/<id>/logs/`.
pub struct FileLogs {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    followers: Followers,
}

impl FileLogs {
    /// `root` is `DATA_DIR/environments`.
    pub fn new(root: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { root, clock, followers: Arc::default() }
    }

    fn directory(&self, environment: EnvironmentId) -> PathBuf {
        self.root.join(environment.to_string()).join("logs")
    }

    fn followers_of(&self, environment: EnvironmentId) -> broadcast::Sender<String> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.entry(environment).or_insert_with(|| broadcast::channel(FOLLOWER_BUFFER).0).clone()
    }

    fn sink(&self, path: &PathBuf, append: bool, followers: Option<broadcast::Sender<String>>) -> FileSink {
        let opened = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
            OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(path)
        });
        let file = match opened {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a log cannot be written");
                None
            }
        };
        let written =
            file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
        FileSink { state: Mutex::new(SinkState { file, written }), clock: self.clock.clone(), followers }
    }
}

#[async_trait]
impl Logs for FileLogs {
    fn deployment(&self, environment: EnvironmentId, deployment: i64) -> Arc<dyn LogSink> {
        let path = self.directory(environment).join(format!("deployment-{deployment}.log"));
        Arc::new(self.sink(&path, true, Some(self.followers_of(environment))))
    }

    fn container(&self, environment: EnvironmentId, name: &str) -> Arc<dyn LogSink> {
        let path = self.directory(environment).join("containers").join(format!("{}.log", file_name(name)));
        Arc::new(self.sink(&path, false, None))
    }

    async fn read(&self, environment: EnvironmentId, deployment: i64) -> PortResult<Vec<String>> {
        let path = self.directory(environment).join(format!("deployment-{deployment}.log"));
        match tokio::fs::read(&path).await {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()),
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
        for (folder, prefix) in
            [(directory.clone(), "logs"), (directory.join("containers"), "logs/containers")]
        {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    files.push((format!("{prefix}/{name}"), entry.path()));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn close(&self, environment: EnvironmentId) {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).remove(&environment);
    }
}

/// Container names are the engine's, but a path takes no chances.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).collect()
}

struct FileSink {
    state: Mutex<SinkState>,
    clock: Arc<dyn Clock>,
    followers: Option<broadcast::Sender<String>>,
}

struct SinkState {
    file: Option<File>,
    written: u64,
}

impl LogSink for FileSink {
    fn line(&self, line: LogLine) {
        let text = format!("{} {} | {}", self.clock.now(), line.source, line.text);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.write(&text);
        drop(state);
        if let Some(followers) = &self.followers {
            followers.send(text).ok();
        }
    }
}

impl SinkState {
    fn write(&mut self, text: &str) {
        let Some(file) = &mut self.file else { return };
        let full = self.written > LOG_LIMIT;
        let text = if full { "drey | the log is full, the rest is left out" } else { text };
        if let Err(error) = file.write_all(format!("{text}\n").as_bytes()) {
            tracing::warn!(%error, "a log cannot be written on");
            self.file = None;
            return;
        }
        self.written += text.len() as u64 + 1;
        if full {
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    struct Noon;
    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    #[tokio::test]
    async fn lines_are_kept_and_followed() {
        let folder = tempfile::tempdir().unwrap();
        let logs = FileLogs::new(folder.path().to_owned(), Arc::new(Noon));
        let id = EnvironmentId(3);
        let mut follower = logs.follow(id);
        for sink in [logs.deployment(id, 1), logs.deployment(id, 1)] {
            sink.line(LogLine { source: "drey".into(), text: "hello".into() });
        }
        assert_eq!(follower.recv().await.unwrap(), "1970-01-01T00:00:00.000Z drey | hello");
        assert_eq!(logs.read(id, 1).await.unwrap().len(), 2);
        assert!(logs.read(id, 2).await.unwrap().is_empty());
        logs.container(id, "../x").line(LogLine { source: "x".into(), text: "y".into() });
        let names: Vec<String> = logs.files(id).await.unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["logs/containers/___x.log", "logs/deployment-1.log"]);
    }
}
