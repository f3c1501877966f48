//! Whose turn it is at a mirror: one git command at a time writes there, and tidying gives way to everybody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{MutexGuard, watch};
use tokio::time::Instant;

/// A mirror is fetched anew once in this time: where that did not help, it is not the mirror.
const RENEW_EVERY: Duration = Duration::from_secs(10 * 60);

/// Of one mirror.
#[derive(Debug, Default)]
pub(super) struct Turn {
    lock: tokio::sync::Mutex<()>,
    /// How many wait for their turn.
    waiting: watch::Sender<usize>,
    /// When it was last found, or made, tidy.
    tidied: Mutex<Option<Instant>>,
    /// When it was last fetched anew because it was damaged.
    renewed: Mutex<Option<Instant>>,
    /// Somebody found it damaged.
    is_suspect: AtomicBool,
}

impl Turn {
    /// Waits for the turn; whoever tidies gives it up.
    pub(super) async fn take(&self) -> MutexGuard<'_, ()> {
        let _waiting = Waiting::new(&self.waiting);
        self.lock.lock().await
    }

    /// The turn, if it is nobody's.
    pub(super) fn try_take(&self) -> Option<MutexGuard<'_, ()>> {
        self.lock.try_lock().ok()
    }

    /// Ends when somebody waits.
    pub(super) async fn wanted(&self) {
        // The sender is our own: it is there as long as we are.
        self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.ok();
    }

    pub(super) fn is_due(&self, every: Duration) -> bool {
        let tidied = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
        tidied.is_none_or(|at| at.elapsed() >= every)
    }

    /// Notes that it was found damaged; whether that helps: what was fetched anew a moment ago is not fetched anew.
    pub(super) fn suspect(&self) -> bool {
        let may_renew = self.may_renew();
        self.is_suspect.store(may_renew, Ordering::Relaxed);
        may_renew
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Relaxed)
    }

    pub(super) fn may_renew(&self) -> bool {
        let renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.is_none_or(|at| at.elapsed() >= RENEW_EVERY)
    }

    /// It is fetched anew now, whatever comes of it.
    pub(super) fn renews(&self) {
        self.is_suspect.store(false, Ordering::Relaxed);
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn is_tidy(&self) {
        *self.tidied.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_holds_the_turn_learns_that_somebody_waits() {
        let turn = Turn::default();
        let held = turn.try_take().unwrap();
        assert!(turn.try_take().is_none());
        let not_yet = tokio::time::timeout(Duration::from_millis(20), turn.wanted()).await;
        assert!(not_yet.is_err());
        let ((), _next) = tokio::join!(
            async {
                turn.wanted().await;
                drop(held);
            },
            turn.take()
        );
        assert_eq!(*turn.waiting.borrow(), 0);
    }
}
