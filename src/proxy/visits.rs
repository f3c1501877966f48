//! Who is at an environment's door or inside: when it was last used, what is open, and how many wait.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::cut::{Cut, Cuts};
use crate::domain::names::EnvironmentId;
use crate::domain::presence::Presence;
use crate::domain::time::Timestamp;
use crate::ports::Clock;

/// Nobody came since the visits were last taken.
const NONE: i64 = i64::MIN;

/// The visitors of one environment, shared by all its hosts and open connections.
pub(super) struct Visits {
    environment: EnvironmentId,
    clock: Arc<dyn Clock>,
    last: AtomicI64,
    requests: AtomicUsize,
    tunnels: AtomicUsize,
    held: AtomicUsize,
    listening: AtomicUsize,
    /// Taken by those who are let in after they waited.
    turns: Semaphore,
    /// Of the tunnels that are open now.
    leave: Mutex<Leave>,
    cuts: Arc<Cuts>,
}

/// When tunnels have to end, and whether they did.
#[derive(Clone, Default)]
pub(super) struct Leave {
    told: CancellationToken,
    over: TaskTracker,
}

impl Leave {
    /// Returns when the tunnels of now are to end.
    pub(super) async fn told(&self) {
        self.told.cancelled().await;
    }

    /// A tunnel is not over as long as it has this.
    pub(super) fn stay(&self) -> TaskTrackerToken {
        self.over.token()
    }
}

/// So many of those who waited are let in at once.
const TURNS: usize = 32;
/// A turn is over when its answer begins, and then at the latest: one that is answered slowly holds up nobody.
const TURN: Duration = Duration::from_secs(1);

impl Visits {
    pub(super) fn new(environment: EnvironmentId, clock: Arc<dyn Clock>) -> Self {
        let none = || AtomicUsize::new(0);
        let last = AtomicI64::new(NONE);
        let (turns, leave) = (Semaphore::new(TURNS), Mutex::default());
        Self {
            environment,
            clock,
            last,
            requests: none(),
            tunnels: none(),
            held: none(),
            listening: none(),
            turns,
            leave,
            cuts: Arc::default(),
        }
    }

    /// A request comes in. It is use until what is returned is dropped, with the last byte of its answer.
    pub(super) fn begin(self: &Arc<Self>) -> Visit {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.mark();
        Visit { visits: self.clone(), is_tunnel: false }
    }

    fn mark(&self) {
        self.last.store(self.clock.now().as_millis(), Ordering::Relaxed);
    }

    /// The last use that nobody took yet; it is taken by this. What is open is used now, where the environment is served: what
    /// is left of the time before it slept is no use of it.
    pub(super) fn take(&self, is_served: bool) -> Option<(EnvironmentId, Timestamp)> {
        let last = self.last.swap(NONE, Ordering::Relaxed);
        if is_served && self.presence().is_somebody() {
            return Some((self.environment, self.clock.now()));
        }
        (last != NONE).then(|| (self.environment, Timestamp::from_millis(last)))
    }

    pub(super) fn presence(&self) -> Presence {
        Presence {
            requests: self.requests.load(Ordering::Relaxed),
            tunnels: self.tunnels.load(Ordering::Relaxed),
        }
    }

    /// For a tunnel that begins now.
    pub(super) fn leave(&self) -> Leave {
        self.leave.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the tunnels that are open; returns when they are over. Those that begin from now on stay.
    pub(super) async fn dismiss(&self) {
        let leave = std::mem::take(&mut *self.leave.lock().unwrap_or_else(PoisonError::into_inner));
        leave.told.cancel();
        leave.over.close();
        leave.over.wait().await;
    }

    /// For a request that is passed on now: what ends it when the containers are frozen.
    pub(super) fn open(&self) -> Cut {
        self.cuts.begin()
    }

    /// Ends every request that is open: the containers are frozen.
    pub(super) fn cut(&self) {
        self.cuts.cut();
    }

    /// Lets those who waited in a few at a time, until the deadline: a thousand at once would bring down what has only just
    /// come up.
    pub(super) async fn in_turn<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> T {
        let turn = tokio::time::timeout_at(deadline, self.turns.acquire()).await;
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(TURN, &mut work).await {
            Ok(done) => done,
            Err(_over) => {
                drop(turn);
                work.await
            }
        }
    }

    /// A place to wait in, where fewer than `most` wait.
    pub(super) fn hold(self: &Arc<Self>, most: usize) -> Option<Held> {
        self.enter(|visits| &visits.held, most)
    }

    /// The same for a page that listens.
    pub(super) fn listen(self: &Arc<Self>, most: usize) -> Option<Held> {
        self.enter(|visits| &visits.listening, most)
    }

    fn enter(self: &Arc<Self>, room: fn(&Self) -> &AtomicUsize, most: usize) -> Option<Held> {
        let one_more = |there| (there < most).then_some(there + 1);
        let got = room(self).fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        got.is_ok().then(|| Held { visits: self.clone(), room })
    }
}

/// One open request or tunnel.
pub(super) struct Visit {
    visits: Arc<Visits>,
    is_tunnel: bool,
}

impl Visit {
    /// The request has become a tunnel.
    #[must_use]
    pub(super) fn into_tunnel(mut self) -> Self {
        self.visits.tunnels.fetch_add(1, Ordering::Relaxed);
        self.visits.requests.fetch_sub(1, Ordering::Relaxed);
        self.is_tunnel = true;
        self
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Before it is closed: whoever looks in between sees one of the two.
        self.visits.mark();
        let open = if self.is_tunnel { &self.visits.tunnels } else { &self.visits.requests };
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One that waits; its place is free when this is dropped.
pub(super) struct Held {
    visits: Arc<Visits>,
    room: fn(&Visits) -> &AtomicUsize,
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.room)(&self.visits).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Noon;
    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(43_200_000)
        }
    }

    fn visits() -> Arc<Visits> {
        Arc::new(Visits::new(EnvironmentId(7), Arc::new(Noon)))
    }

    #[test]
    fn what_is_open_is_used_at_every_look() {
        let visits = visits();
        assert_eq!(visits.take(true), None);
        let visit = visits.begin();
        let noon = Some((EnvironmentId(7), Noon.now()));
        assert_eq!((visits.take(true), visits.take(true)), (noon, noon));
        assert_eq!((visits.take(false), visits.take(false)), (None, None), "what sleeps is not used");
        let tunnel = visit.into_tunnel();
        assert_eq!(visits.presence(), Presence { requests: 0, tunnels: 1 });
        drop(tunnel);
        assert_eq!((visits.take(true), visits.take(true)), (noon, None));
        assert!(!visits.presence().is_somebody());
    }

    #[test]
    fn no_more_wait_than_may() {
        let visits = visits();
        let first = visits.hold(2);
        let second = visits.hold(2);
        assert!(first.is_some() && second.is_some() && visits.hold(2).is_none());
        let listener = visits.listen(1);
        assert!(listener.is_some() && visits.listen(1).is_none(), "pages have places of their own");
        drop(first);
        assert!(visits.hold(2).is_some());
    }

    #[tokio::test]
    async fn those_who_are_dismissed_are_waited_for_and_later_ones_stay() {
        let visits = visits();
        let (leave, later) = (visits.leave(), Arc::new(AtomicUsize::new(0)));
        let (stays, gone) = (leave.stay(), later.clone());
        let tunnel = async move {
            leave.told().await;
            gone.store(1, Ordering::SeqCst);
            drop(stays);
        };
        tokio::join!(visits.dismiss(), tunnel);
        assert_eq!(later.load(Ordering::SeqCst), 1);
        let told =
            tokio::time::timeout(Duration::from_millis(20), async { visits.leave().told().await }).await;
        assert!(told.is_err(), "a tunnel that begins afterwards is not told");
    }
}
