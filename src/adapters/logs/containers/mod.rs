//! Logs of containers that are gone: beginning and end of each, and the newest of them all.

mod ends;
mod name;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use self::ends::{Ends, Size};
use crate::ports::{Clock, LogLine, LogSink};

/// How much of one container's log is kept.
const OF_ONE: Size = Size { beginning: 4 * 1024 * 1024, total: 16 * 1024 * 1024 };
/// Most bytes of all containers of an environment: beyond it the oldest go. The one that is written adds its own.
const OF_ALL_BYTES: u64 = 256 * 1024 * 1024;
/// Most containers of an environment: beyond it the oldest go.
const OF_ALL_FILES: usize = 1000;
/// Tells which logs are not kept any more.
const FORGOTTEN: &str = "left-out.log";
const FORGOTTEN_SIZE: Size = Size { beginning: 64 * 1024, total: 256 * 1024 };

/// Opens its file with the first line: where nothing comes, what was saved before stays.
pub(super) struct ContainerSink {
    folder: PathBuf,
    file_name: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

enum State {
    Unopened,
    Open(Ends),
    Broken,
}

impl ContainerSink {
    pub(super) fn new(folder: PathBuf, name: &str, id: &str, clock: Arc<dyn Clock>) -> Self {
        let file_name = name::file_name(name, id);
        Self { folder, file_name, clock, state: Mutex::new(State::Unopened) }
    }

    fn open(&self) -> std::io::Result<Ends> {
        std::fs::create_dir_all(&self.folder)?;
        self.make_room()?;
        Ends::begin(&self.folder.join(&self.file_name), OF_ONE)
    }

    /// Two that do this at once remove the same files.
    fn make_room(&self) -> std::io::Result<()> {
        let logs = by_age(&self.folder)?;
        let mut bytes: u64 = logs.iter().map(|log| log.size).sum();
        let mut files = logs.len();
        for log in logs {
            if bytes <= OF_ALL_BYTES && files < OF_ALL_FILES {
                break;
            }
            if std::fs::remove_file(&log.path).is_err() {
                continue;
            }
            bytes -= log.size;
            files -= 1;
            let name = log.path.file_name().unwrap_or_default().to_string_lossy();
            let text =
                format!("{} drey | {name}, {} bytes, is not kept any more", self.clock.now(), log.size);
            Ends::go_on(&self.folder.join(FORGOTTEN), FORGOTTEN_SIZE)?.line(&text)?;
        }
        Ok(())
    }
}

impl LogSink for ContainerSink {
    /// The engine began the line with its time.
    fn line(&self, line: LogLine) {
        let (time, text) = line.text.split_once(' ').unwrap_or((&line.text, ""));
        let text = format!("{time} {} | {text}", line.source);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *state {
            State::Broken => return,
            State::Open(ends) => ends.line(&text),
            State::Unopened => self.open().and_then(|mut ends| {
                ends.line(&text)?;
                *state = State::Open(ends);
                Ok(())
            }),
        };
        if let Err(error) = written {
            tracing::warn!(%error, log = self.file_name, "the log of a container cannot be written");
            *state = State::Broken;
        }
    }
}

struct Saved {
    changed: SystemTime,
    path: PathBuf,
    size: u64,
}

/// The oldest first.
fn by_age(folder: &Path) -> std::io::Result<Vec<Saved>> {
    let mut logs = Vec::new();
    for (name, path) in super::finished(folder) {
        let Ok(facts) = path.metadata() else { continue };
        if name != FORGOTTEN {
            logs.push(Saved { changed: facts.modified()?, path, size: facts.len() });
        }
    }
    logs.sort_by(|a, b| (a.changed, &a.path).cmp(&(b.changed, &b.path)));
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::logs::tests::Noon;

    fn save(folder: &Path, name: &str, id: &str, texts: &[&str]) {
        let sink = ContainerSink::new(folder.to_owned(), name, id, Arc::new(Noon));
        for text in texts {
            sink.line(LogLine { source: "web".into(), text: format!("2026-01-01T00:00:00Z {text}") });
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = crate::adapters::logs::finished(folder).map(|(name, _)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn each_container_of_a_service_has_a_log_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "p-web-1", "aaaaaaaaaaaa0", &["one"]);
        save(folder.path(), "p-web-1", "bbbbbbbbbbbb0", &["two"]);
        save(folder.path(), "p-web-1", "bbbbbbbbbbbb0", &["two", "three"]);
        save(folder.path(), "p-web-1", "bbbbbbbbbbbb0", &[]);
        assert_eq!(names(folder.path()), ["p-web-1.aaaaaaaaaaaa.log", "p-web-1.bbbbbbbbbbbb.log"]);
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("p-web-1.aaaaaaaaaaaa.log"), "2026-01-01T00:00:00Z web | one\n");
        assert_eq!(read("p-web-1.bbbbbbbbbbbb.log").lines().count(), 2, "once, as it was last");
    }

    #[test]
    fn beyond_the_limit_the_oldest_go_and_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..20 {
            let path = folder.path().join(format!("p-db-1.{number:012}.log"));
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(16 * 1024 * 1024).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number)).unwrap();
        }
        save(folder.path(), "p-web-1", "aaaaaaaaaaaa", &["one"]);
        let names = names(folder.path());
        assert_eq!(names.len(), 16 + 2, "{names:?}");
        assert!(names.contains(&FORGOTTEN.to_owned()) && names[1].contains("000004"), "{names:?}");
        let told = std::fs::read_to_string(folder.path().join(FORGOTTEN)).unwrap();
        assert_eq!(told.lines().count(), 4);
        assert!(
            told.contains("drey | p-db-1.000000000003.log, 16777216 bytes, is not kept any more"),
            "{told}"
        );
    }
}
