//! What each environment's visitors asked for, as numbers: counted by every request, read at a scrape.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::domain::environment::Phase;
use crate::domain::route::Answer;
use crate::ports::traffic::{HELD_BUCKETS, RESPONSE_BUCKETS, Spread, Traffic};

/// Shorter waits are none: a request takes so long to get here.
const NO_WAIT: Duration = Duration::from_millis(1);

/// The numbers of one environment, shared by all its hosts and open connections.
#[derive(Debug, Default)]
pub(super) struct Tally {
    classes: [AtomicU64; 5],
    responses: Measured<{ RESPONSE_BUCKETS.len() }>,
    held: Measured<{ HELD_BUCKETS.len() }>,
    received: AtomicU64,
    sent: AtomicU64,
    upgrades: AtomicI64,
    wakes: AtomicU64,
    asleep: AtomicBool,
}

/// How many took how long.
#[derive(Debug)]
struct Measured<const N: usize> {
    /// Up to each bound, those of smaller bounds not counted again; then all beyond.
    buckets: [AtomicU64; N],
    beyond: AtomicU64,
    micros: AtomicU64,
}

impl<const N: usize> Default for Measured<N> {
    fn default() -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Self { buckets, beyond: AtomicU64::new(0), micros: AtomicU64::new(0) }
    }
}

impl<const N: usize> Measured<N> {
    fn record(&self, bounds: &[f64; N], took: Duration) {
        let seconds = took.as_secs_f64();
        let place = bounds.iter().position(|bound| seconds <= *bound);
        place.and_then(|place| self.buckets.get(place)).unwrap_or(&self.beyond).fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn spread(&self) -> Spread {
        let mut buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        buckets.push(self.beyond.load(Relaxed));
        Spread { buckets, sum: Duration::from_micros(self.micros.load(Relaxed)) }
    }
}

impl Tally {
    /// A request got the head of its answer. `upstream`: since a container was asked, where one was.
    pub(super) fn answered(&self, status: u16, upstream: Option<Duration>, held: Duration) {
        if let Some(class) = self.classes.get(usize::from(status / 100).saturating_sub(1)) {
            class.fetch_add(1, Relaxed);
        }
        if let Some(took) = upstream {
            self.responses.record(&RESPONSE_BUCKETS, took);
        }
        if held >= NO_WAIT {
            self.held.record(&HELD_BUCKETS, held);
        }
    }

    /// Bytes of bodies that went each way.
    pub(super) fn passed(&self, received: u64, sent: u64) {
        if received > 0 {
            self.received.fetch_add(received, Relaxed);
        }
        if sent > 0 {
            self.sent.fetch_add(sent, Relaxed);
        }
    }

    /// A tunnel began.
    pub(super) fn opened(&self) {
        self.upgrades.fetch_add(1, Relaxed);
    }

    /// It ended.
    pub(super) fn closed(&self) {
        self.upgrades.fetch_sub(1, Relaxed);
    }

    /// The environment has this answer now: one that slept and wakes is counted.
    pub(super) fn shows(&self, answer: &Answer) {
        let Answer::Page(page) = answer else { return };
        match page.phase {
            Phase::Asleep => self.asleep.store(true, Relaxed),
            Phase::Waking if self.asleep.swap(false, Relaxed) => {
                self.wakes.fetch_add(1, Relaxed);
            }
            Phase::Queued
            | Phase::Preparing
            | Phase::Building
            | Phase::Starting
            | Phase::Ready
            | Phase::Updating
            | Phase::Waking
            | Phase::Failed
            | Phase::Blocked
            | Phase::Archiving
            | Phase::Archived
            | Phase::Destroying
            | Phase::Destroyed => self.asleep.store(false, Relaxed),
        }
    }

    /// The numbers so far; none where nobody came.
    pub(super) fn read(&self, name: &str) -> Option<Traffic> {
        let classes = [0, 1, 2, 3, 4]
            .map(|class: usize| self.classes.get(class).map_or(0, |requests| requests.load(Relaxed)));
        let traffic = Traffic {
            environment: name.to_owned(),
            classes,
            responses: self.responses.spread(),
            held: self.held.spread(),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            upgrades: self.upgrades.load(Relaxed),
            wakes: self.wakes.load(Relaxed),
        };
        (traffic.wakes > 0 || classes.iter().any(|requests| *requests > 0)).then_some(traffic)
    }
}

/// Whether the environment ends or is gone: then it has neither numbers nor a log.
pub(super) fn is_over(answer: &Answer) -> bool {
    match answer {
        Answer::Proxy(_) | Answer::Replacing(_) => false,
        Answer::Page(page) => match page.phase {
            Phase::Archiving | Phase::Archived | Phase::Destroying | Phase::Destroyed => true,
            Phase::Queued
            | Phase::Preparing
            | Phase::Building
            | Phase::Starting
            | Phase::Ready
            | Phase::Updating
            | Phase::Waking
            | Phase::Asleep
            | Phase::Failed
            | Phase::Blocked => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::route::Page;

    #[test]
    fn requests_are_counted_by_class_and_time() {
        let tally = Tally::default();
        assert_eq!(tally.read("shop/x"), None, "nobody came");
        tally.answered(200, Some(Duration::from_millis(7)), Duration::from_micros(20));
        tally.answered(204, Some(Duration::from_secs(100)), Duration::from_millis(700));
        tally.answered(503, None, Duration::ZERO);
        tally.answered(101, None, Duration::ZERO);
        tally.answered(999, None, Duration::ZERO);
        tally.passed(5, 7);
        tally.opened();
        let read = tally.read("shop/x").unwrap();
        assert_eq!(read.classes, [1, 2, 0, 0, 1]);
        assert_eq!((read.received, read.sent, read.upgrades), (5, 7, 1));
        assert_eq!(read.responses.buckets[1], 1, "10 ms");
        assert_eq!(read.responses.buckets.last(), Some(&1));
        assert_eq!(read.responses.sum, Duration::from_millis(100_007));
        assert_eq!(read.held.buckets.iter().sum::<u64>(), 1);
    }

    #[test]
    fn only_sleepers_wake() {
        let page = |phase| Answer::Page(Page { phase, reason: None, outcome: None, is_tired: false });
        let tally = Tally::default();
        for phase in [Phase::Waking, Phase::Asleep, Phase::Asleep, Phase::Waking, Phase::Waking] {
            tally.shows(&page(phase));
        }
        tally.shows(&page(Phase::Asleep));
        tally.shows(&page(Phase::Queued));
        tally.shows(&page(Phase::Waking));
        assert_eq!(tally.read("shop/x").unwrap().wakes, 1);
    }
}
