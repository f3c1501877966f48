//! Groups of programs that were ended by force, until they are really gone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process_group};
use tokio::time::{Instant, sleep};

use crate::ports::Programs;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One for the process, as its children are: a run that is dropped cannot hand its groups to anybody.
static DYING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The group was sent what nobody survives.
pub(super) fn add(leader: Pid) {
    let mut dying = DYING.lock().unwrap_or_else(PoisonError::into_inner);
    dying.retain(|leader| is_there(*leader));
    dying.push(leader);
}

/// All programs that this process started.
#[derive(Clone, Copy, Debug)]
pub struct Children;

#[async_trait]
impl Programs for Children {
    async fn gone(&self, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        loop {
            let left = left();
            if left == 0 {
                return 0;
            }
            if Instant::now() >= deadline {
                // Told once; nobody else has to wait for them.
                DYING.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return left;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn left() -> usize {
    let mut dying = DYING.lock().unwrap_or_else(PoisonError::into_inner);
    dying.retain(|leader| is_there(*leader));
    dying.len()
}

/// Also while some of it is dead and not collected yet.
fn is_there(leader: Pid) -> bool {
    test_kill_process_group(leader) != Err(Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    #[tokio::test]
    async fn a_cut_run_is_over_when_all_that_it_started_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("grandchild");
        let script = format!("sleep 1000 & echo $! > {}; wait", mark.display());
        let mut run = std::pin::pin!(Command::new("sh").args(["-c", &script]).output());
        let grandchild: u32 = loop {
            tokio::select! {
                _ = &mut run => panic!("it ended by itself"),
                () = sleep(LOOK_EVERY) => {}
            }
            if let Some(id) = std::fs::read_to_string(&mark).ok().and_then(|text| text.trim().parse().ok()) {
                break id;
            }
        };
        run.set(Command::new("true").output());
        assert_eq!(Children.gone(Duration::from_secs(5)).await, 0);
        let state = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }
}
