//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::network;

/// Counts connections by sender; networks of one IPv6 customer are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    sender: IpAddr,
}

impl Seats {
    /// Nothing where the address has `most` already.
    pub(super) fn take(&self, address: IpAddr, most: usize) -> Option<Seat> {
        let sender = network::sender(address);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(sender).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Seat { seats: self.clone(), sender })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.sender) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_connection_ended() {
        let seats = Seats::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = seats.take(address("2001:db8::1"), 2).unwrap();
        let _second = seats.take(address("2001:db8::2"), 2).unwrap();
        assert!(seats.take(address("2001:db8::3"), 2).is_none(), "one customer");
        assert!(seats.take(address("192.0.2.1"), 2).is_some(), "another one");
        drop(first);
        assert!(seats.take(address("2001:db8::3"), 2).is_some());
        assert_eq!(seats.0.lock().unwrap().len(), 1, "who has none is forgotten");
    }
}
