//! Named tasks, signals, soft and hard cancellation.
//!
//! Every task of the floors above is spawned here: so each has a name, a panic is seen and told, and the daemon
//! can say at its end that none is left.

pub mod descriptors;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long running steps may take to finish after the first signal.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Spawns tasks and ends them. Clones share one house.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
    panics: Arc<AtomicUsize>,
}

impl Supervisor {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` until it ends by itself or hard cancellation drops it. A panic is logged and counted.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard = self.hard.clone();
        let panics = self.panics.clone();
        self.tracker.spawn(async move {
            let inner = tokio::spawn(async move {
                tokio::select! {
                    () = hard.cancelled() => {}
                    () = task => {}
                }
            });
            if let Err(error) = inner.await
                && error.is_panic()
            {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task.name = name, "a background task panicked");
            }
        });
    }

    /// Cancelled when the daemon is asked to end: take nothing new, finish what runs.
    pub fn draining(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Starts the end: soft at once.
    pub fn drain(&self) {
        self.soft.cancel();
    }

    /// Waits for all tasks after [`Supervisor::drain`]; what still runs after `limit` is dropped.
    /// Returns whether everything ended by itself and nothing panicked.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.soft.cancel();
        self.tracker.close();
        let by_itself = tokio::time::timeout(limit, self.tracker.wait()).await.is_ok();
        if !by_itself {
            tracing::warn!(tasks = self.live_tasks(), "not everything ended by itself: the rest is cut");
        }
        self.hard.cancel();
        self.tracker.wait().await;
        by_itself && self.panics() == 0
    }

    pub fn panics(&self) -> usize {
        self.panics.load(Ordering::Relaxed)
    }

    pub fn live_tasks(&self) -> usize {
        self.tracker.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_end_softly_and_panics_are_told() {
        let supervisor = Supervisor::new();
        let draining = supervisor.draining();
        supervisor.spawn("gentle", async move { draining.cancelled().await });
        assert!(supervisor.finish(Duration::from_secs(5)).await);

        let supervisor = Supervisor::new();
        supervisor.spawn("broken", async { panic!("on purpose") });
        assert!(!supervisor.finish(Duration::from_secs(5)).await);
        assert_eq!(supervisor.panics(), 1);
    }

    #[tokio::test]
    async fn a_stubborn_task_is_dropped() {
        let supervisor = Supervisor::new();
        supervisor.spawn("stubborn", std::future::pending());
        assert!(!supervisor.finish(Duration::from_millis(10)).await);
        assert_eq!(supervisor.live_tasks(), 0);
    }
}
