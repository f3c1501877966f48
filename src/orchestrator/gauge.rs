//! What was measured last, and what was complained of last.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::disk::Disks;
use crate::store::StoreError;

/// The same complaint is heard once in this time.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10 * 60);

/// The disks as they were measured last.
pub struct Room {
    now: watch::Sender<Disks>,
    /// One database, one complaint at a time.
    complaint: Mutex<Option<(String, Instant)>>,
}

impl Default for Room {
    fn default() -> Self {
        Self { now: watch::Sender::new(Disks::default()), complaint: Mutex::default() }
    }
}

impl Room {
    /// Each disk with its level; nothing before the first measurement.
    pub fn disks(&self) -> Disks {
        self.now.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Disks> {
        self.now.subscribe()
    }

    pub(super) fn set(&self, disks: Disks) {
        self.now.send_replace(disks);
    }

    /// The database does not take what there is to say: told once, and again when it says something else or much later. Where
    /// a disk is full, the log is not to fill it further.
    pub(super) fn complain(&self, error: &StoreError) {
        let text = error.to_string();
        let mut last = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |(told, since): &(String, Instant)| *told == text && since.elapsed() < COMPLAIN_EVERY;
        if last.as_ref().is_some_and(is_old) {
            tracing::debug!(%error, "the database does not answer");
            return;
        }
        tracing::error!(%error, "the database does not answer");
        *last = Some((text, Instant::now()));
    }
}
