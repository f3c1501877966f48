//! How often something may happen in a second, for each of many; and how often it is told.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Keys that are remembered at once. One that did nothing for a second is forgotten.
const MOST_KEYS: usize = 20_000;
/// Forgetting walks over all of them: not more often than this.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// Refusals that are told in one [`TELL_EVERY`]: a flood fills no disk.
const TOLD_AT_MOST: u32 = 10;
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A bucket for each key: it holds what may happen in one second, and fills up again in one.
pub(in crate::web) struct Rates<K> {
    buckets: Mutex<Buckets<K>>,
}

struct Buckets<K> {
    by_key: HashMap<K, Bucket>,
    forgotten_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self { buckets: Mutex::new(Buckets { by_key: HashMap::new(), forgotten_at: None }) }
    }
}

impl<K: Clone + Eq + Hash> Rates<K> {
    /// Whether it may happen once more; then it has.
    pub(in crate::web) fn take(&self, key: &K, per_second: u32, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.of(key, per_second, now) else { return false };
        let may = bucket.left >= 1.0;
        if may {
            bucket.left -= 1.0;
        }
        may
    }

    /// Whether it may not happen any more just now.
    pub(in crate::web) fn is_spent(&self, key: &K, per_second: u32, now: Instant) -> bool {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        match buckets.by_key.get(key) {
            Some(bucket) => bucket.filled(per_second, now).left < 1.0,
            // Too many keys to know each: whoever is new is not trusted more than the others.
            None => buckets.by_key.len() >= MOST_KEYS,
        }
    }
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    fn of(&mut self, key: &K, per_second: u32, now: Instant) -> Option<&mut Bucket> {
        if !self.by_key.contains_key(key) {
            self.forget(now);
            if self.by_key.len() >= MOST_KEYS {
                return None;
            }
        }
        let full = Bucket { left: f64::from(per_second), at: now };
        let bucket = self.by_key.entry(key.clone()).or_insert(full);
        *bucket = bucket.filled(per_second, now);
        Some(bucket)
    }

    /// Those that are full again.
    fn forget(&mut self, now: Instant) {
        let is_due = self.forgotten_at.is_none_or(|at| now.duration_since(at) >= FORGET_EVERY);
        if self.by_key.len() >= MOST_KEYS && is_due {
            self.by_key.retain(|_, bucket| now.duration_since(bucket.at) < Duration::from_secs(1));
            self.forgotten_at = Some(now);
        }
    }
}

impl Bucket {
    fn filled(self, per_second: u32, now: Instant) -> Self {
        let most = f64::from(per_second);
        let gained = now.duration_since(self.at).as_secs_f64() * most;
        Self { left: (self.left + gained).min(most), at: now }
    }
}

/// Lets a few through in a minute, and counts the others.
#[derive(Default)]
pub(super) struct Throttle(Mutex<Told>);

#[derive(Default)]
struct Told {
    begun: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Throttle {
    /// Whether it may be told now: then with how many were not since the last time.
    pub(super) fn permit(&self, now: Instant) -> Option<u64> {
        let mut it = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if it.begun.is_none_or(|begun| now.duration_since(begun) >= TELL_EVERY) {
            (it.begun, it.told) = (Some(now), 0);
        }
        if it.told >= TOLD_AT_MOST {
            it.untold += 1;
            return None;
        }
        it.told += 1;
        Some(std::mem::take(&mut it.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_second() {
        let (rates, now) = (Rates::default(), Instant::now());
        assert!((0..5).all(|_| rates.take(&'a', 5, now)));
        assert!(!rates.take(&'a', 5, now) && rates.is_spent(&'a', 5, now));
        assert!(rates.take(&'b', 5, now) && !rates.is_spent(&'b', 5, now) && !rates.is_spent(&'c', 5, now));
        let later = now + Duration::from_millis(200);
        assert!(!rates.is_spent(&'a', 5, later) && rates.take(&'a', 5, later) && !rates.take(&'a', 5, later));
        let much_later = now + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| rates.take(&'a', 5, much_later)).count(), 5);
    }

    #[test]
    fn who_comes_from_everywhere_is_not_remembered_for_ever() {
        let (rates, now) = (Rates::default(), Instant::now());
        assert_eq!((0..MOST_KEYS + 5).filter(|key| rates.take(key, 1, now)).count(), MOST_KEYS);
        assert!(rates.is_spent(&(MOST_KEYS + 1), 1, now));
        let later = now + Duration::from_secs(2);
        assert!(rates.take(&(MOST_KEYS + 1), 1, later));
        assert!(rates.buckets.lock().unwrap().by_key.len() < 10);
    }

    #[test]
    fn a_flood_is_told_in_a_few_lines() {
        let (told, now) = (Throttle::default(), Instant::now());
        assert_eq!((0..1000).filter(|_| told.permit(now).is_some()).count(), 10);
        assert_eq!(told.permit(now + TELL_EVERY), Some(990));
        assert_eq!(told.permit(now + TELL_EVERY), Some(0));
    }
}
