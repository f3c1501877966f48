//! Named tasks, signals, soft and hard cancellation.
//!
//! Every task of the floors above is spawned here: so each has a name, a panic is seen and told, and the daemon
//! can say at its end that none is left.
//!
//! The end has two stages: first what works, then what answers. Whoever asks is answered until the last step is done.

pub mod descriptors;
pub mod process;
mod stage;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use stage::Stage;

/// How long running steps may take to finish after the first signal.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// Part of it that is kept for open requests, whatever still works: one part of so many.
const FACES_PART: u32 = 6;

/// Spawns tasks and ends them. Clones share one house.
#[derive(Clone, Debug)]
pub struct Supervisor {
    /// The stage that this handle spawns into and is drained with.
    own: Stage,
    work: Stage,
    faces: Stage,
    panics: Arc<AtomicUsize>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    pub fn new() -> Self {
        let work = Stage::default();
        Self { own: work.clone(), work, faces: Stage::default(), panics: Arc::default() }
    }

    /// The same for what answers others: listeners and connections. It drains when nothing works any more.
    #[must_use]
    pub fn faces(&self) -> Self {
        Self { own: self.faces.clone(), ..self.clone() }
    }

    /// Runs `task` until it ends by itself or hard cancellation drops it. A panic is logged and counted.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard = self.own.hard.clone();
        let panics = self.panics.clone();
        // In a box: handed on as it is, it would take its room in every future around it.
        let task = AssertUnwindSafe(Box::pin(task)).catch_unwind();
        self.own.tracker.spawn(async move {
            let done = tokio::select! {
                biased;
                done = task => done,
                () = hard.cancelled() => Ok(()),
            };
            if done.is_err() {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task.name = name, "a background task panicked");
            }
        });
    }

    /// Cancelled when this stage is asked to end: take nothing new, finish what runs.
    pub fn draining(&self) -> CancellationToken {
        self.own.soft.clone()
    }

    /// Whether the daemon was asked to end: no work begins any more.
    pub fn is_ending(&self) -> bool {
        self.work.soft.is_cancelled()
    }

    /// Starts the end: no work begins any more, from now on.
    pub fn drain(&self) {
        self.work.soft.cancel();
    }

    /// Waits for all tasks after [`Supervisor::drain`]: first for what works, then for what answers. What still runs
    /// after its part of `limit` is dropped. Returns whether everything ended by itself and nothing panicked.
    pub async fn finish(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let work_done = self.work.end(deadline - limit / FACES_PART).await;
        let faces_done = self.faces.end(deadline).await;
        work_done && faces_done && self.panics() == 0
    }

    pub fn panics(&self) -> usize {
        self.panics.load(Ordering::Relaxed)
    }

    pub fn live_tasks(&self) -> usize {
        self.work.tracker.len() + self.faces.tracker.len()
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

    #[tokio::test]
    async fn faces_answer_until_the_last_step_is_done() {
        let supervisor = Supervisor::new();
        let (faces, steps) = (supervisor.faces(), Arc::new(AtomicUsize::new(0)));
        let (closing, done) = (faces.draining(), steps.clone());
        faces.spawn("face", async move {
            closing.cancelled().await;
            assert_eq!(done.load(Ordering::Relaxed), 1);
        });
        supervisor.spawn("step", async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            steps.fetch_add(1, Ordering::Relaxed);
        });
        supervisor.drain();
        assert!(faces.is_ending() && !faces.draining().is_cancelled());
        assert!(supervisor.finish(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn whatever_works_the_faces_have_their_part() {
        let supervisor = Supervisor::new();
        let (faces, said) = (supervisor.faces(), Arc::new(AtomicUsize::new(0)));
        let (closing, saying) = (faces.draining(), said.clone());
        faces.spawn("face", async move {
            closing.cancelled().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            saying.fetch_add(1, Ordering::Relaxed);
        });
        supervisor.spawn("stubborn", std::future::pending());
        assert!(!supervisor.finish(Duration::from_secs(3)).await);
        assert_eq!((said.load(Ordering::Relaxed), supervisor.panics()), (1, 0));
    }
}
