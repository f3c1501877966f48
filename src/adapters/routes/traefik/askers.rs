//! Who asked for the configuration, and what they got: so it is known what a Traefik has that nobody can ask.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many are remembered; when there are more, all begin anew.
const MOST: usize = 64;
/// How much later than usual one may ask before it counts as gone.
const GRACE: Duration = Duration::from_secs(5);

/// Those that ask.
pub(super) struct Askers {
    /// How often each asks.
    every: Duration,
    /// How long one may take to serve by what it got.
    applies: Duration,
    asked: Mutex<BTreeMap<String, Asked>>,
}

struct Asked {
    mark: String,
    /// When it first got this one.
    first: Instant,
    last: Instant,
}

impl Askers {
    pub(super) fn new(every: Duration, applies: Duration) -> Self {
        Self { every, applies, asked: Mutex::default() }
    }

    /// One has got the configuration with this mark.
    pub(super) fn got(&self, asker: &str, mark: &str, now: Instant) {
        let mut asked = self.lock();
        if asked.len() >= MOST && !asked.contains_key(asker) {
            asked.clear();
        }
        let one = asked.entry(asker.to_owned()).or_insert_with(|| Asked {
            mark: mark.to_owned(),
            first: now,
            last: now,
        });
        if one.mark != mark {
            (one.mark, one.first) = (mark.to_owned(), now);
        }
        one.last = now;
    }

    /// Whether anybody has it who still asks.
    pub(super) fn has_got(&self, mark: &str, now: Instant) -> bool {
        self.lock().values().any(|one| one.mark == mark && !self.is_gone(one, now))
    }

    /// What all of them serve by; none while one has not had the time, or nobody asks.
    pub(super) fn serving(&self, now: Instant) -> Option<String> {
        let asked = self.lock();
        let mut here = asked.values().filter(|one| !self.is_gone(one, now));
        let (first, applies) = (here.next()?, self.applies);
        let has_it = |one: &Asked| one.mark == first.mark && now.duration_since(one.first) >= applies;
        (has_it(first) && here.all(has_it)).then(|| first.mark.clone())
    }

    /// Somebody asked within the time that it takes to ask twice.
    pub(super) fn is_anybody_here(&self, now: Instant) -> bool {
        self.lock().values().any(|one| !self.is_gone(one, now))
    }

    fn is_gone(&self, one: &Asked, now: Instant) -> bool {
        now.duration_since(one.last) > self.every * 2 + GRACE
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_ask_have_it_and_had_the_time() {
        let second = Duration::from_secs(1);
        let askers = Askers::new(second * 5, second * 3);
        let begin = Instant::now();
        let at = |seconds: u32| begin + second * seconds;
        assert!(askers.serving(at(0)).is_none() && !askers.is_anybody_here(at(0)));
        askers.got("a", "1", at(0));
        assert!(askers.has_got("1", at(0)) && askers.serving(at(2)).is_none());
        assert_eq!(askers.serving(at(3)).as_deref(), Some("1"));
        // A second one, which comes for the next first.
        askers.got("b", "2", at(4));
        assert!(askers.serving(at(8)).is_none(), "one has the former");
        askers.got("a", "2", at(8));
        assert!(askers.serving(at(10)).is_none(), "one had no time");
        assert_eq!(askers.serving(at(11)).as_deref(), Some("2"));
        askers.got("a", "2", at(12));
        assert_eq!(askers.serving(at(12)).as_deref(), Some("2"), "asking again changes nothing");
        // One that stays away is waited for no longer.
        askers.got("a", "3", at(16));
        assert!(askers.serving(at(19)).is_none());
        assert_eq!(askers.serving(at(20)).as_deref(), Some("3"));
        assert!(askers.serving(at(40)).is_none() && !askers.has_got("3", at(40)));
    }
}
