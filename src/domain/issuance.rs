//! When a certificate is ordered from an authority: what is missing or old, one at a time, within a budget.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// The time that the budget counts over.
const HOUR: Duration = Duration::from_secs(3600);
/// Pause after the first failure of a name; each further one doubles it. Within an hour four tries come together:
/// public authorities take five failures.
const FIRST_PAUSE: Duration = Duration::from_secs(300);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// A certificate that there should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of one certificate among all; the name of its file.
    pub key: String,
    /// Names that it is for, the first part may be `*`.
    pub names: Vec<String>,
}

/// The life of a certificate that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What was tried. Kept over restarts: a daemon that dies over and over must not order over and over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// Beginnings of orders, in milliseconds since the epoch.
    pub orders: Vec<i64>,
    /// By the key of what was wanted.
    pub failures: BTreeMap<String, Failure>,
}

/// Orders of one certificate that failed, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub count: u32,
    /// The last one, in milliseconds since the epoch.
    pub at: i64,
    /// Untrusted text: what the authority said.
    pub reason: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Order(Wanted),
    /// Nothing before this moment, unless something else is wanted.
    Wait(Option<Timestamp>),
}

impl Life {
    /// When two thirds of it are over.
    pub fn renew_at(self) -> Timestamp {
        self.from.plus(self.until.since(self.from) / 3 * 2)
    }
}

impl Tries {
    /// An order begins.
    pub fn begin(&mut self, now: Timestamp) {
        self.orders.retain(|at| now.since(Timestamp::from_millis(*at)) < HOUR);
        self.orders.push(now.as_millis());
    }

    /// It came to a certificate.
    pub fn succeeded(&mut self, key: &str) {
        self.failures.remove(key);
    }

    /// It came to nothing.
    pub fn failed(&mut self, key: &str, reason: String, now: Timestamp) {
        let before = self.failures.get(key).map_or(0, |failure| failure.count);
        let failure = Failure { count: before.saturating_add(1), at: now.as_millis(), reason };
        self.failures.insert(key.to_owned(), failure);
    }

    /// What is not wanted any more is forgotten.
    pub fn keep_only(&mut self, wanted: &[Wanted]) {
        self.failures.retain(|key, _| wanted.iter().any(|wanted| wanted.key == *key));
    }

    /// When the budget allows an order, if it does not now.
    fn budget_from(&self, per_hour: usize, now: Timestamp) -> Option<Timestamp> {
        let orders = self.orders.iter().map(|at| Timestamp::from_millis(*at));
        let mut recent: Vec<Timestamp> = orders.filter(|at| now.since(*at) < HOUR).collect();
        recent.sort_unstable();
        let over = recent.len().checked_sub(per_hour)?;
        Some(recent.get(over)?.plus(HOUR))
    }
}

impl Failure {
    /// When it may be tried again.
    pub fn again_at(&self) -> Timestamp {
        let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.count.saturating_sub(1)));
        Timestamp::from_millis(self.at).plus(doubled.min(LONGEST_PAUSE))
    }
}

/// The next order: what is missing before what is old, in the order of `wanted`.
pub fn next(
    wanted: &[Wanted],
    held: &BTreeMap<String, Life>,
    tries: &Tries,
    per_hour: usize,
    now: Timestamp,
) -> Next {
    let due = |wanted: &Wanted| {
        let life = held.get(&wanted.key).map_or(now, |life| life.renew_at());
        let again = tries.failures.get(&wanted.key).map_or(now, Failure::again_at);
        life.max(again)
    };
    let is_missing = |wanted: &&Wanted| !held.contains_key(&wanted.key);
    let (missing, old): (Vec<&Wanted>, Vec<&Wanted>) = wanted.iter().partition(is_missing);
    let ready = missing.into_iter().chain(old).find(|wanted| due(wanted) <= now);
    match (ready, tries.budget_from(per_hour, now)) {
        (Some(ready), None) => Next::Order(ready.clone()),
        (Some(_), Some(later)) => Next::Wait(Some(later)),
        (None, _) => Next::Wait(wanted.iter().map(due).min()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const MINUTE: Duration = Duration::from_secs(60);

    fn moment() -> Timestamp {
        Timestamp::from_millis(1_780_000_000_000)
    }

    fn wanted(keys: &[&str]) -> Vec<Wanted> {
        keys.iter()
            .map(|key| Wanted { key: (*key).into(), names: vec![format!("{key}.qa.example")] })
            .collect()
    }

    fn key(next: &Next) -> &str {
        match next {
            Next::Order(wanted) => &wanted.key,
            Next::Wait(_) => "",
        }
    }

    #[test]
    fn what_is_missing_comes_before_what_is_old_and_what_is_fresh_waits() {
        let now = moment();
        let mut held = BTreeMap::new();
        held.insert("old".to_owned(), Life { from: now.minus(DAY * 60), until: now.plus(DAY * 30) });
        held.insert("fresh".to_owned(), Life { from: now.minus(DAY * 59), until: now.plus(DAY * 31) });
        let next = |keys: &[&str]| next(&wanted(keys), &held, &Tries::default(), 5, now);
        assert_eq!(key(&next(&["old", "new", "newer"])), "new");
        assert_eq!(key(&next(&["fresh", "old"])), "old");
        assert_eq!(next(&["fresh"]), Next::Wait(Some(now.plus(DAY))));
        assert_eq!(next(&[]), Next::Wait(None));
    }

    #[test]
    fn a_budget_bounds_the_orders_of_an_hour() {
        let (now, none) = (moment(), BTreeMap::new());
        let mut tries = Tries::default();
        tries.begin(now.minus(MINUTE * 50));
        tries.begin(now.minus(MINUTE * 10));
        assert_eq!(key(&next(&wanted(&["a"]), &none, &tries, 3, now)), "a");
        assert_eq!(next(&wanted(&["a"]), &none, &tries, 2, now), Next::Wait(Some(now.plus(MINUTE * 10))));
        assert_eq!(next(&wanted(&["a"]), &none, &tries, 1, now), Next::Wait(Some(now.plus(MINUTE * 50))));
        assert_eq!(key(&next(&wanted(&["a"]), &none, &tries, 2, now.plus(MINUTE * 10))), "a");
    }

    #[test]
    fn a_name_that_fails_waits_longer_and_longer_and_stands_in_nobodys_way() {
        let (now, none) = (moment(), BTreeMap::new());
        let mut tries = Tries::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            tries.failed("a", "no".into(), now);
            let Next::Wait(Some(later)) = next(&wanted(&["a"]), &none, &tries, 5, now) else {
                panic!("it was tried at once")
            };
            pauses.push(later.since(now).as_secs() / 60);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]);
        assert_eq!(key(&next(&wanted(&["a", "b"]), &none, &tries, 5, now)), "b");
        tries.succeeded("a");
        assert_eq!(key(&next(&wanted(&["a"]), &none, &tries, 5, now)), "a");
        tries.failed("a", "no".into(), now);
        tries.keep_only(&wanted(&["b"]));
        assert!(tries.failures.is_empty());
    }
}
