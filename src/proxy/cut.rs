//! Ending what is open when an environment's containers are frozen: nothing comes from them any more, and nothing breaks.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use thiserror::Error;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// When what was open has to end; shared by all requests of an environment.
#[derive(Default)]
pub(super) struct Cuts {
    count: AtomicU64,
    told: Arc<Notify>,
}

/// Why the body of an answer came to no end of its own.
#[derive(Debug, Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Container(#[from] hyper::Error),
    #[error("the branch was put to sleep")]
    LaidDown,
}

impl Cuts {
    /// Ends what is open now.
    pub(super) fn cut(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.told.notify_waiters();
    }

    /// For a request that begins now: only later cuts end it.
    pub(super) fn begin(self: &Arc<Self>) -> Cut {
        Cut { since: self.count.load(Ordering::Acquire), cuts: self.clone(), waiting: None }
    }
}

/// One request's view of it.
pub(super) struct Cut {
    cuts: Arc<Cuts>,
    since: u64,
    /// Made when there is something to wait for, which is seldom.
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

impl Cut {
    /// Returns when the request has to end.
    pub(super) async fn over(&self) {
        // Before the look: a cut in between is not missed.
        let told = self.cuts.told.notified();
        if !self.is_over() {
            told.await;
        }
    }

    /// The same for somebody who polls.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let told = &self.cuts.told;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(told.clone().notified_owned()));
        if waiting.as_mut().poll(context).is_ready() || self.is_over() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn is_over(&self) -> bool {
        self.cuts.count.load(Ordering::Acquire) != self.since
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[tokio::test]
    async fn what_was_open_ends_and_what_comes_later_stays() {
        let cuts = Arc::<Cuts>::default();
        let (waits, mut polls, mut late) = (cuts.begin(), cuts.begin(), cuts.begin());
        let mut context = Context::from_waker(Waker::noop());
        assert!(polls.poll_over(&mut context).is_pending());
        tokio::join!(waits.over(), async { cuts.cut() });
        assert!(polls.poll_over(&mut context).is_ready());
        assert!(late.poll_over(&mut context).is_ready(), "also where nobody waited yet");
        late.over().await;
        let mut after = cuts.begin();
        assert!(after.poll_over(&mut context).is_pending());
    }
}
