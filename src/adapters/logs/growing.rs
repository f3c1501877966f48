//! The log of a deployment: it only grows, because followers count its lines.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use crate::ports::{Clock, LogLine, LogSink};

/// Most bytes of what others say; what comes after is left out, and one line says so. What drey says itself, how it
/// ended above all, is kept.
const LIMIT: u64 = 16 * 1024 * 1024;
/// Who is always heard.
const OURSELVES: &str = "drey";

pub(super) struct GrowingSink {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    followers: broadcast::Sender<String>,
}

struct State {
    file: Option<File>,
    written: u64,
    full: bool,
}

impl GrowingSink {
    /// Goes on with the file where there is one.
    pub(super) fn open(path: &Path, clock: Arc<dyn Clock>, followers: broadcast::Sender<String>) -> Self {
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let opened = folder.and_then(|()| OpenOptions::new().create(true).append(true).open(path));
        let file = match opened {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a log cannot be written");
                None
            }
        };
        let written =
            file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
        Self { state: Mutex::new(State { file, written, full: false }), clock, followers }
    }
}

impl LogSink for GrowingSink {
    fn line(&self, line: LogLine) {
        let text = format!("{} {} | {}", self.clock.now(), line.source, line.text);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if line.source == OURSELVES || state.written <= LIMIT {
            state.write(&text);
        } else if !state.full {
            state.full = true;
            state.write(&format!("{} {OURSELVES} | the log is full, the rest is left out", self.clock.now()));
        }
        drop(state);
        self.followers.send(text).ok();
    }
}

impl State {
    fn write(&mut self, text: &str) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(format!("{text}\n").as_bytes()) {
            tracing::warn!(%error, "a log cannot be written on");
            self.file = None;
        }
        self.written += text.len() as u64 + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::logs::tests::Noon;

    #[test]
    fn how_it_ended_is_kept_of_the_longest_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deployment-1.log");
        let sink = GrowingSink::open(&path, Arc::new(Noon), broadcast::channel(1).0);
        let megabyte = "x".repeat(1024 * 1024);
        for _ in 0..20 {
            sink.line(LogLine { source: "build".into(), text: megabyte.clone() });
        }
        sink.line(LogLine { source: "drey".into(), text: "failed".into() });
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 17 * 1024 * 1024 + 4096);
        assert_eq!(text.matches("the rest is left out").count(), 1);
        assert!(text.ends_with("drey | failed\n"));
    }
}
