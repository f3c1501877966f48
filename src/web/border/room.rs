//! Memory for the bodies that are being received: so much for all of them, and not all of it for one sender.
//!
//! A body is read before its signature can be, so whoever sends one gets memory for nothing. The first part of each is
//! counted for nobody: small deliveries, which most are, find room whatever others send.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of a delivery; the cap that GitHub has.
pub(in crate::web) const BODY_LIMIT: usize = 25 * 1024 * 1024;
/// The same for an address that failed too often: checking the signature of so much costs next to nothing.
pub(in crate::web) const SUSPECT_LIMIT: usize = 256 * 1024;
/// Bytes of bodies in memory at once, whoever sent them.
const ALL: usize = 64 * 1024 * 1024;
/// Of these, for one sender: more than one body has at most, and there is room for another's beside it.
const EACH: usize = 32 * 1024 * 1024;
/// Of each body, what is not counted. There are as many bodies as connections.
const FREE: usize = 32 * 1024;

// One sender may have one whole body, and there is room for another's beside it.
const _: () = assert!(EACH > BODY_LIMIT && 2 * EACH <= ALL);

/// What is left.
pub(in crate::web) struct Room {
    all: usize,
    each: usize,
    free: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    all: usize,
    by_sender: HashMap<Option<IpAddr>, usize>,
}

impl Default for Room {
    fn default() -> Self {
        Self { all: ALL, each: EACH, free: FREE, used: Mutex::default() }
    }
}

impl Room {
    #[cfg(test)]
    pub(in crate::web) fn of(all: usize, each: usize, free: usize) -> Arc<Self> {
        Arc::new(Self { all, each, free, used: Mutex::default() })
    }

    /// For one body.
    pub(in crate::web) fn share(room: &Arc<Self>, sender: Option<IpAddr>) -> Share {
        Share { room: Arc::clone(room), sender, counted: 0 }
    }
}

/// What one body has of it; given back when this is dropped.
pub(in crate::web) struct Share {
    room: Arc<Room>,
    sender: Option<IpAddr>,
    counted: usize,
}

impl Share {
    /// Whether there is room for a body of this length.
    pub(in crate::web) fn grow_to(&mut self, length: usize) -> bool {
        let more = length.saturating_sub(self.room.free).saturating_sub(self.counted);
        if more == 0 {
            return true;
        }
        let mut used = self.room.used.lock().unwrap_or_else(PoisonError::into_inner);
        let of_sender = used.by_sender.get(&self.sender).copied().unwrap_or_default() + more;
        if used.all + more > self.room.all || of_sender > self.room.each {
            return false;
        }
        used.all += more;
        used.by_sender.insert(self.sender, of_sender);
        self.counted += more;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.counted == 0 {
            return;
        }
        let mut used = self.room.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.all -= self.counted;
        let left = used.by_sender.get(&self.sender).copied().unwrap_or_default() - self.counted;
        if left == 0 {
            used.by_sender.remove(&self.sender);
        } else {
            used.by_sender.insert(self.sender, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_of_it_and_small_ones_always_fit() {
        let room = Room::of(100, 60, 10);
        let sender = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
        let (mut first, mut second) = (Room::share(&room, sender(1)), Room::share(&room, sender(1)));
        assert!(first.grow_to(40) && first.grow_to(60) && first.grow_to(60));
        assert!(second.grow_to(10) && second.grow_to(20) && !second.grow_to(21));
        let mut other = Room::share(&room, sender(2));
        assert!(other.grow_to(50) && !other.grow_to(51));
        assert!((0..100).all(|_| Room::share(&room, sender(3)).grow_to(10)));
        drop(first);
        assert!(other.grow_to(70) && !other.grow_to(71) && second.grow_to(30));
        drop((second, other));
        let used = room.used.lock().unwrap();
        assert_eq!((used.all, used.by_sender.len()), (0, 0));
    }
}
