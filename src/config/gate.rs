//! `[proxy.gate]`: who waits for an environment, how many, how long.

use std::time::Duration;

use figment::value::Value;

use super::reader::{Section, at_least_one};

/// `[proxy.gate]`: requests that wait for an environment which is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Longest wait of one.
    pub hold: Duration,
    /// At once, over all environments.
    pub held: usize,
    /// At once, for one environment.
    pub held_per_environment: usize,
}

/// Whoever waits longer was given up by most clients.
const LONGEST_HOLD: Duration = Duration::from_secs(10 * 60);

impl Gate {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let hold = section.duration("hold").unwrap_or(Duration::from_secs(60));
        if hold > LONGEST_HOLD {
            section.fault("hold", "must be 10m at most: clients give up before");
        }
        let many = |value: &Value| {
            let number = usize::try_from(at_least_one(value)?).ok().filter(|number| *number <= MOST_HELD);
            number.ok_or_else(|| format!("must be {MOST_HELD} at most"))
        };
        let read = Self {
            hold: hold.min(LONGEST_HOLD),
            held: section.read("held", many).unwrap_or(4096),
            held_per_environment: section.read("held_per_environment", many).unwrap_or(1024),
        };
        section.finish();
        read
    }
}

/// More than any daemon has connections.
const MOST_HELD: usize = 1_000_000;
