//! What is on its way into the database: whatever comes while a commit is under way goes into the next one together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::store::{StoreError, Submission};

use super::submitted::Submitted;

/// Most submissions that one commit carries: none of them waits long for the others.
const BATCH: usize = 128;
/// Bytes of bodies after which a commit takes no more.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Deliveries that wait; a sender that comes when there are more has to come again.
const WAITING: usize = 1024;
/// Bytes of their bodies in all.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

pub(super) type Answer = Result<Vec<Submitted>, StoreError>;

/// Somebody who waits for the commit.
pub(super) struct Waiting {
    pub(super) submission: Submission,
    pub(super) answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    has_writer: bool,
}

impl Queue {
    /// Puts it at the end. `true`: nobody writes, the caller has to see to it.
    ///
    /// # Errors
    /// When too many wait: then nothing was taken. What drey itself submits is always taken.
    pub(super) fn put(&self, waiting: Waiting) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let bytes = bytes_of(&waiting.submission);
        let is_full = inner.waiting.len() >= WAITING || inner.bytes + bytes > WAITING_BYTES;
        if bytes > 0 && is_full {
            return Err(StoreError::NotTaken {
                reason: "too many deliveries wait for the database; come again",
            });
        }
        inner.bytes += bytes;
        inner.waiting.push_back(waiting);
        Ok(!std::mem::replace(&mut inner.has_writer, true))
    }

    /// For the one who was told to write.
    pub(super) fn writer(self: &Arc<Self>) -> Writer {
        Writer { queue: self.clone(), is_done: false }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes until nobody waits. Dropped before, all who wait are told that nothing was taken.
pub(super) struct Writer {
    queue: Arc<Queue>,
    is_done: bool,
}

impl Writer {
    /// Those that came first, as many as one commit takes; `None`: nobody waits, and the next who comes finds no writer.
    pub(super) fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut inner = self.queue.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Some(waiting) = inner.waiting.pop_front() else { break };
            bytes += bytes_of(&waiting.submission);
            batch.push(waiting);
        }
        inner.bytes -= bytes;
        if batch.is_empty() {
            inner.has_writer = false;
            self.is_done = true;
            return None;
        }
        Some(batch)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_done {
            *self.queue.lock() = Inner::default();
        }
    }
}

/// Of the body, at least one: what drey submits itself has none.
fn bytes_of(submission: &Submission) -> usize {
    match submission {
        Submission::New { delivery: Some(delivery), .. } => delivery.body.len().max(1),
        Submission::New { delivery: None, .. } | Submission::Again(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{EventId, EventSource};
    use crate::domain::names::RepoName;
    use crate::domain::time::Timestamp;
    use crate::store::NewDelivery;

    fn put(queue: &Queue, submission: Submission) -> (Result<bool, StoreError>, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        (queue.put(Waiting { submission, answer }), answered)
    }

    fn delivery(bytes: usize) -> Submission {
        let delivery = NewDelivery {
            repo: RepoName::parse("shop").unwrap(),
            source: EventSource::Git,
            delivery_id: "1".to_owned(),
            body: vec![0; bytes],
            received_at: Timestamp::from_millis(0),
        };
        Submission::New { delivery: Some(delivery), events: Vec::new() }
    }

    #[test]
    fn who_comes_first_writes_for_all_and_the_next_one_after_them_again() {
        let queue = Arc::new(Queue::default());
        let firsts: Vec<bool> =
            (0..=BATCH).map(|id| put(&queue, Submission::Again(EventId(id as i64))).0.unwrap()).collect();
        assert_eq!(firsts.iter().position(|first| *first), Some(0));
        assert_eq!(firsts.iter().filter(|first| **first).count(), 1);
        let mut writer = queue.writer();
        assert_eq!(writer.next().unwrap().len(), BATCH);
        assert!(!put(&queue, delivery(1)).0.unwrap(), "the writer is still there");
        assert_eq!(writer.next().unwrap().len(), 2);
        assert!(writer.next().is_none());
        assert!(put(&queue, delivery(1)).0.unwrap());
    }

    #[test]
    fn deliveries_are_refused_when_too_much_waits_and_what_drey_submits_is_not() {
        let queue = Arc::new(Queue::default());
        put(&queue, delivery(WAITING_BYTES)).0.unwrap();
        assert!(put(&queue, delivery(1)).0.is_err());
        put(&queue, Submission::Again(EventId(1))).0.unwrap();
        let mut writer = queue.writer();
        assert_eq!(writer.next().unwrap().len(), 1, "a large body goes alone");
        put(&queue, delivery(1)).0.unwrap();
    }

    #[tokio::test]
    async fn a_writer_that_is_cut_leaves_nobody_waiting() {
        let queue = Arc::new(Queue::default());
        let (first, answered) = put(&queue, delivery(1));
        assert!(first.unwrap());
        drop(queue.writer());
        assert!(answered.await.is_err());
        assert!(put(&queue, delivery(1)).0.unwrap(), "the next one writes");
    }
}
