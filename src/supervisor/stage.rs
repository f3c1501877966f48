//! Tasks that end together: softly first, then hard.

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks and their two signals. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    pub(super) tracker: TaskTracker,
    pub(super) soft: CancellationToken,
    pub(super) hard: CancellationToken,
}

impl Stage {
    /// Asks all to end, and drops those that have not by the deadline. Returns whether there were none of these.
    pub(super) async fn end(&self, deadline: Instant) -> bool {
        self.soft.cancel();
        self.tracker.close();
        let by_itself = timeout_at(deadline, self.tracker.wait()).await.is_ok();
        if !by_itself {
            tracing::warn!(tasks = self.tracker.len(), "not everything ended by itself: the rest is cut");
        }
        self.hard.cancel();
        self.tracker.wait().await;
        by_itself
    }
}
