//! Children of a daemon that was killed: they have groups of their own and go on. Each carries a mark in its environment,
//! by which the next life of the same data directory knows it for certain, and ends it before it does anything else.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use sha2::{Digest as _, Sha256};

/// The variable that the mark is in. No compose file may name it.
pub const LIFE: &str = "DREY_LIFE";
/// How often it is looked again: what was about to start another process when it was ended may have done so.
const ROUNDS: usize = 20;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(25);
/// Bytes of a data directory's digest that make its mark.
const MARK_LENGTH: usize = 12;

static MARK: OnceLock<OsString> = OnceLock::new();

/// From now on every child of this process carries the mark of the data directory. Those that a former life left are
/// ended first, with their descendants; says how many. The caller holds the directory's lock: nobody else lives there.
pub fn begin(data_dir: &Path) -> usize {
    let mark = mark_of(data_dir);
    let ended = end_all(&mark);
    MARK.get_or_init(|| mark.into());
    ended
}

/// What a child gets into its environment.
pub(super) fn mark() -> Option<(OsString, OsString)> {
    MARK.get().map(|mark| (LIFE.into(), mark.clone()))
}

/// Says nothing of the path to whoever reads it.
fn mark_of(data_dir: &Path) -> String {
    let path = data_dir.canonicalize().unwrap_or_else(|_unreadable| data_dir.to_owned());
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest.iter().take(MARK_LENGTH).map(|byte| format!("{byte:02x}")).collect()
}

fn end_all(mark: &str) -> usize {
    let wanted = format!("{LIFE}={mark}");
    let mut ended = std::collections::BTreeSet::new();
    for round in 0..ROUNDS {
        let found = processes().into_iter().filter(|pid| end(*pid, wanted.as_bytes())).collect::<Vec<_>>();
        if found.is_empty() {
            break;
        }
        ended.extend(found.into_iter().map(Pid::as_raw_nonzero));
        if round + 1 < ROUNDS {
            std::thread::sleep(BETWEEN_ROUNDS);
        }
    }
    ended.len()
}

/// All processes that this one sees, itself apart.
fn processes() -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pid = |entry: std::fs::DirEntry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
    entries.flatten().filter_map(pid).filter(|pid| *pid != getpid()).collect()
}

/// Ends the process if it has the mark. The handle is opened before the mark is read: the number may be another
/// process's a moment later, the handle never is.
fn end(pid: Pid, wanted: &[u8]) -> bool {
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    let is_marked = environment.split(|byte| *byte == 0).any(|variable| variable == wanted);
    is_marked && is_near(pid) && pidfd_send_signal(&handle, Signal::KILL).is_ok()
}

/// What a branch runs may give itself any variable: it has numbers of its own, our children have ours.
fn is_near(pid: Pid) -> bool {
    let space = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    space("self").is_some_and(|own| space(&pid.as_raw_nonzero().to_string()) == Some(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::process::Command;

    #[tokio::test]
    async fn the_children_of_a_former_life_are_ended_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (mark, other) = (mark_of(folder.path()), mark_of(Path::new("/somewhere/else")));
        assert_eq!(mark.len(), 2 * MARK_LENGTH);
        assert_ne!(mark, other);
        let child = |mark: &str| {
            Command::new("sh").args(["-c", "sleep 30 & sleep 30"]).env(LIFE, mark).start().unwrap()
        };
        let (left, others) = (child(&mark), child(&other));
        let marked = |mark: &str| {
            let wanted = format!("{LIFE}={mark}");
            let has = |pid: &Pid| {
                let file = format!("/proc/{}/environ", pid.as_raw_nonzero());
                std::fs::read(file)
                    .unwrap_or_default()
                    .split(|byte| *byte == 0)
                    .any(|it| it == wanted.as_bytes())
            };
            processes().iter().filter(|pid| has(pid)).count()
        };
        for _ in 0..200 {
            if marked(&mark) >= 2 && marked(&other) >= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let before = marked(&other);
        assert!(end_all(&mark) >= 2, "the shell and what it started");
        assert_eq!((marked(&mark), marked(&other)), (0, before));
        assert_eq!(end_all(&mark), 0);
        drop((left, others));
    }
}
