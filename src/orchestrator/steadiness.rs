//! Whether the wall clock may be believed: what is due by it alone waits while it jumps.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::ports::Clock;

/// More than a clock is ever moved when it is kept right bit by bit.
const STEP: Duration = Duration::from_secs(60);
/// How long after a step nothing ends by the clock: long enough for a person, or a time server, to set it back.
const DOUBT: Duration = Duration::from_secs(600);

/// Remembers how the wall clock and the steady one stood to each other.
#[derive(Default)]
pub(super) struct Steadiness {
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    wall: Timestamp,
    steady: Duration,
    /// On the steady clock.
    doubted_until: Option<Duration>,
}

impl Steadiness {
    /// Looks at both clocks; the time by which environments may end, or nothing while the clock is in doubt.
    pub(super) fn look(&self, clock: &dyn Clock) -> Option<Timestamp> {
        let (wall, steady) = (clock.now(), clock.steady());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut doubted_until = seen.as_ref().and_then(|before| before.doubted_until);
        if let Some(before) = &*seen {
            let went = steady.saturating_sub(before.steady);
            let (forward, back) = (wall.since(before.wall.plus(went)), before.wall.plus(went).since(wall));
            if forward > STEP || back > STEP {
                let (direction, by) = if back > STEP { ("back", back) } else { ("forward", forward) };
                tracing::warn!(
                    direction,
                    seconds = by.as_secs(),
                    "the clock was stepped: nothing ends or sleeps by it for {} s",
                    DOUBT.as_secs()
                );
                doubted_until = Some(steady + DOUBT);
            }
        }
        doubted_until = doubted_until.filter(|until| steady < *until);
        *seen = Some(Seen { wall, steady, doubted_until });
        doubted_until.is_none().then_some(wall)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Clocks {
        wall: AtomicI64,
        steady: AtomicI64,
    }

    impl Clocks {
        fn pass(&self, seconds: i64) {
            self.step(seconds);
            self.steady.fetch_add(seconds, Ordering::Relaxed);
        }

        fn step(&self, seconds: i64) {
            self.wall.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    impl Clock for Clocks {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.wall.load(Ordering::Relaxed) * 1000)
        }

        fn steady(&self) -> Duration {
            Duration::from_secs(self.steady.load(Ordering::Relaxed).unsigned_abs())
        }
    }

    #[test]
    fn a_clock_that_jumps_is_not_believed_until_it_has_gone_on_for_a_while() {
        let (clocks, steadiness) = (Clocks::default(), Steadiness::default());
        for _ in 0..3 {
            clocks.pass(3600);
            assert!(steadiness.look(&clocks).is_some(), "time that passes is no step");
        }
        for by in [365 * 86_400, -365 * 86_400] {
            clocks.step(by);
            assert!(steadiness.look(&clocks).is_none());
            clocks.pass(599);
            assert!(steadiness.look(&clocks).is_none());
            clocks.pass(2);
            assert!(steadiness.look(&clocks).is_some());
        }
        clocks.step(30);
        assert!(steadiness.look(&clocks).is_some(), "kept right bit by bit");
    }
}
