//! When each environment was last asked for something.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::names::EnvironmentId;
use crate::domain::time::Timestamp;

/// Nobody came since the visits were last taken.
const NONE: i64 = i64::MIN;

/// The last visit of one environment, shared by all its hosts and open connections.
#[derive(Debug)]
pub(super) struct Visit {
    environment: EnvironmentId,
    at: AtomicI64,
}

impl Visit {
    pub(super) fn new(environment: EnvironmentId) -> Self {
        Self { environment, at: AtomicI64::new(NONE) }
    }

    pub(super) fn mark(&self, now: Timestamp) {
        self.at.store(now.as_millis(), Ordering::Relaxed);
    }

    /// The visit that nobody took yet; it is taken by this.
    pub(super) fn take(&self) -> Option<(EnvironmentId, Timestamp)> {
        let at = self.at.swap(NONE, Ordering::Relaxed);
        (at != NONE).then(|| (self.environment, Timestamp::from_millis(at)))
    }
}
