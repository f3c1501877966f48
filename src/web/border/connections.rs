//! Who is connected: so many in all, and of one sender so many that say nothing for a while.
//!
//! A connection is never refused for what others do. At a limit one goes whose answer is held back anyhow, then the one that has
//! been silent longest; one that just came is young and stays, so an honest delivery, which takes milliseconds, gets
//! through.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::network;
use crate::supervisor::descriptors;

/// Connections at once, where file descriptors allow them.
const MOST: usize = 2048;
/// Of all descriptors one in so many is for connections to this port.
const DESCRIPTORS_SHARE: u64 = 16;
/// One sender has one in so many of the connections.
const SENDERS_SHARE: usize = 4;
/// So long a connection may take for its request before another may have its place. Less than what ends it anyhow.
const GRACE: Duration = Duration::from_secs(1);
/// An answer that goes on for longer gives its place where all are taken by such ones.
const LONG_ANSWER: Duration = Duration::from_secs(10);
/// While all are taken by young ones: how often it is looked whether one has come of age.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// All connections to the port.
pub(in crate::web) struct Connections {
    most: usize,
    each: usize,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// In the order in which they came.
    seats: BTreeMap<u64, Occupied>,
}

struct Occupied {
    /// `None` for a proxy that is trusted: behind it are many.
    sender: Option<IpAddr>,
    waits_since: Instant,
    standing: Standing,
    cut: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has not said yet what it wants.
    Waits,
    /// It has shown that it knows a secret.
    Admitted,
    /// Its answer is held back, and nobody minds when it gets none.
    Refused,
}

impl Occupied {
    fn may_go(&self, now: Instant) -> bool {
        !self.cut.is_cancelled()
            && match self.standing {
                Standing::Waits => now.duration_since(self.waits_since) >= GRACE,
                Standing::Admitted => false,
                Standing::Refused => true,
            }
    }
}

impl Connections {
    pub(in crate::web) fn new() -> Arc<Self> {
        Arc::new(Self::of(most(descriptors::limit())))
    }

    fn of(most: usize) -> Self {
        let each = (most / SENDERS_SHARE).max(1);
        Self { most, each, open: Mutex::default(), freed: Notify::new() }
    }

    /// Waits until one more may be accepted; where all are taken, the one goes that has been silent longest.
    pub(in crate::web) async fn has_place(&self) {
        loop {
            let freed = self.freed.notified();
            if self.makes_place(Instant::now()) {
                return;
            }
            tokio::time::timeout(LOOK_AGAIN, freed).await.ok();
        }
    }

    fn makes_place(&self, now: Instant) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.seats.len() < self.most {
            return true;
        }
        let of = |standing| move |seat: &&Occupied| seat.standing == standing && seat.may_go(now);
        let refused = open.seats.values().find(of(Standing::Refused));
        let waits = || open.seats.values().find(of(Standing::Waits));
        // Last of all one whose answer goes on: whoever knows a secret must not shut out the others for ever.
        let admitted = || {
            let admitted = |seat: &&Occupied| {
                seat.standing == Standing::Admitted && now.duration_since(seat.waits_since) >= LONG_ANSWER
            };
            open.seats.values().find(admitted)
        };
        if let Some(oldest) = refused.or_else(waits).or_else(admitted) {
            oldest.cut.cancel();
        }
        false
    }

    /// Takes a place for a connection that was accepted.
    pub(in crate::web) fn take(self: &Arc<Self>, peer: IpAddr, is_trusted: bool) -> Seat {
        self.take_at(peer, is_trusted, Instant::now())
    }

    fn take_at(self: &Arc<Self>, peer: IpAddr, is_trusted: bool, now: Instant) -> Seat {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = (!is_trusted).then(|| network::sender(peer));
        if sender.is_some() {
            let waits = |seat: &&Occupied| {
                seat.sender == sender && seat.standing == Standing::Waits && !seat.cut.is_cancelled()
            };
            let count = open.seats.values().filter(waits).count();
            let oldest = open.seats.values().filter(waits).find(|seat| seat.may_go(now));
            if let Some(oldest) = oldest.filter(|_| count >= self.each) {
                oldest.cut.cancel();
            }
        }
        let (number, cut) = (open.next, CancellationToken::new());
        open.next += 1;
        let seat = Occupied { sender, waits_since: now, standing: Standing::Waits, cut: cut.clone() };
        open.seats.insert(number, seat);
        Seat(Arc::new(Held { number, peer, cut, connections: Arc::clone(self) }))
    }
}

/// How many connections so many file descriptors allow.
fn most(descriptors: u64) -> usize {
    usize::try_from(descriptors / DESCRIPTORS_SHARE).map_or(MOST, |allowed| allowed.clamp(16, MOST))
}

/// A connection's place.
#[derive(Clone)]
pub(in crate::web) struct Seat(Arc<Held>);

struct Held {
    number: u64,
    peer: IpAddr,
    cut: CancellationToken,
    connections: Arc<Connections>,
}

impl Seat {
    pub(in crate::web) fn peer(&self) -> IpAddr {
        self.0.peer
    }

    /// When another has the place.
    pub(in crate::web) fn lost(&self) -> CancellationToken {
        self.0.cut.clone()
    }

    /// A request came: it has its time anew.
    pub(in crate::web) fn asks(&self) {
        self.change(|seat| (seat.waits_since, seat.standing) = (Instant::now(), Standing::Waits));
    }

    /// It has its answer: from now on it waits as one that just came.
    pub(in crate::web) fn rests(&self) {
        self.change(|seat| (seat.waits_since, seat.standing) = (Instant::now(), Standing::Waits));
    }

    /// It has shown that it knows a secret: until its next request nobody gets its place.
    pub(in crate::web) fn admit(&self) {
        self.change(|seat| seat.standing = Standing::Admitted);
    }

    /// Its answer is held back: it is the first to make place.
    pub(in crate::web) fn refuse(&self) {
        self.change(|seat| seat.standing = Standing::Refused);
    }

    fn change(&self, change: impl FnOnce(&mut Occupied)) {
        let mut open = self.0.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = open.seats.get_mut(&self.0.number) {
            change(seat);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.seats.remove(&self.number);
        drop(open);
        self.connections.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_cut(seat: &Seat) -> bool {
        seat.lost().is_cancelled()
    }

    #[test]
    fn of_one_sender_the_silent_ones_go_first() {
        let (all, now) = (Arc::new(Connections::of(16)), Instant::now());
        let old: Vec<Seat> = (0..4).map(|_| all.take_at(address(1), false, now)).collect();
        old[0].admit();
        // Four more that are young: nobody goes for them while all are young.
        let young: Vec<Seat> = (0..2).map(|_| all.take_at(address(1), false, now)).collect();
        assert!(old.iter().chain(&young).all(|seat| !is_cut(seat)));
        let later = now + GRACE;
        let others = [all.take_at(address(2), false, later), all.take_at(address(3), true, later)];
        assert!(old.iter().all(|seat| !is_cut(seat)), "others cost nobody's place");
        let new = all.take_at(address(1), false, later);
        assert_eq!(
            old.iter().map(is_cut).collect::<Vec<_>>(),
            [false, true, false, false],
            "oldest, not admitted"
        );
        assert!(!is_cut(&new) && others.iter().all(|seat| !is_cut(seat)));
    }

    #[test]
    fn at_the_limit_of_all_a_silent_one_makes_place_and_a_young_one_does_not() {
        let (all, now) = (Arc::new(Connections::of(2)), Instant::now());
        assert!(all.makes_place(now));
        let first = all.take_at(address(1), true, now);
        let second = all.take_at(address(2), true, now);
        assert!(!all.makes_place(now) && !is_cut(&first));
        assert!(!all.makes_place(now + GRACE) && is_cut(&first) && !is_cut(&second));
        drop(first);
        assert!(all.makes_place(now));
        let third = all.take_at(address(3), true, now);
        third.refuse();
        assert!(!all.makes_place(now + GRACE) && is_cut(&third) && !is_cut(&second), "refused ones go first");
        drop(third);
        drop(second);
        assert!(all.open.lock().unwrap().seats.is_empty());
    }

    #[test]
    fn descriptors_are_left_for_the_rest() {
        assert_eq!([0, 1024, 65_536, u64::MAX].map(most), [16, 64, MOST, MOST]);
    }
}
