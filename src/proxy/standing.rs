//! How one of several containers stands: how much it has to do, and whether it is passed over for a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A container that took no connection gets none for so long, as long as there is another.
pub(super) const PASSED_OVER: Duration = Duration::from_secs(5);

/// Of one container.
#[derive(Debug, Default)]
pub(super) struct Standing {
    open: AtomicUsize,
    until: Mutex<Option<Instant>>,
}

impl Standing {
    /// Requests without the end of an answer, and tunnels.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// One more, until what is returned is dropped.
    pub(super) fn occupy(self: &Arc<Self>) -> Busy {
        self.open.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// It took no connection.
    pub(super) fn refused(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + PASSED_OVER);
    }

    pub(super) fn is_passed_over(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

/// A request that a container has.
#[derive(Debug)]
pub(super) struct Busy(Arc<Standing>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
