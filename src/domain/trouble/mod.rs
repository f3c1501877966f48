//! What is remembered of an environment's troubles from one look to the next, and what follows: when it is repaired, and
//! when it is told that a service keeps crashing. Pure; moments are times since the daemon began, so that no clock that is
//! stepped disturbs them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::drift::{self, Damage};
use super::observed::{Container, ContainerState, Observed};
use super::patience;
use super::stack::Stack;

/// How long something has to be broken before it is repaired: who restarts a container by hand does it in less.
pub const CONFIRM: Duration = Duration::from_secs(3);
/// From so many crashes on a service keeps crashing.
const MANY: u64 = 3;
/// A service has to run for so long without a crash to be sound again, or for three times as long as it last did.
pub const CALM: Duration = Duration::from_secs(30);
/// But never for longer than this; also how long repairs have to hold to be forgotten.
const LONGEST_CALM: Duration = Duration::from_secs(600);

/// The words with which a reason begins that tells of trouble while the environment stays ready.
pub const DEGRADED: &str = "degraded: ";

/// What follows from a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is as it was left, since then.
    Whole { since: Duration },
    /// Broken, and repaired now.
    Repair { why: String },
    /// Broken; looked at again then. `told` once a repair did not hold.
    Broken { look_again: Duration, told: Option<Trouble> },
    /// All is there, and a service keeps crashing.
    Crashing { look_again: Duration, told: Trouble },
}

/// What is told in the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub service: String,
    /// The container whose last lines tell more.
    pub container: Option<String>,
    pub code: Option<i64>,
    pub times: u64,
    /// Where it is no crash: what is broken.
    pub other: Option<String>,
    /// When it is repaired again, in seconds from the look.
    pub next_repair: Option<u64>,
}

impl Trouble {
    /// Without the words that every such reason begins with.
    pub fn text(&self) -> String {
        let again = match self.next_repair {
            Some(seconds) => format!("; it is put right again in {seconds} s"),
            None => String::new(),
        };
        if let Some(other) = &self.other {
            return format!("{other}, again{again}");
        }
        let (service, times) = (&self.service, self.times);
        match self.code {
            Some(code) => format!("{service} keeps crashing: exit code {code}, {times} times{again}"),
            None => format!("{service} keeps crashing, {times} times{again}"),
        }
    }

    /// Whether it says so much else than `former` that it is written down: not for each crash.
    pub fn is_news(&self, former: Option<&Self>) -> bool {
        former.is_none_or(|former| {
            former.service != self.service
                || former.code != self.code
                || former.other != self.other
                || self.times >= former.times.saturating_mul(2)
                || self.times < former.times
        })
    }
}

/// An environment's troubles; empty at first.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    whole_since: Option<Duration>,
    broken_since: Option<Duration>,
    repairs: u32,
    last_repair: Option<Duration>,
    restarts: BTreeMap<String, u64>,
    crashes: BTreeMap<String, Crashes>,
}

#[derive(Clone, Debug)]
struct Crashes {
    times: u64,
    last: Duration,
    /// Between the last two.
    gap: Duration,
    code: Option<i64>,
    container: String,
}

impl Memory {
    /// The environment is worked on: a repair is counted from its end.
    pub fn busy(&mut self, now: Duration) {
        self.broken_since = None;
        self.whole_since = None;
        if self.repairs > 0 {
            self.last_repair = Some(now);
        }
    }

    /// Another stack, or one that was deployed anew: what was before counts no more.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes in what was seen and says what follows.
    pub fn judge(&mut self, stack: &Stack, observed: &Observed, now: Duration) -> Verdict {
        let damages = drift::damages(stack, observed);
        self.count_restarts(stack, observed, now);
        if self.broken_since.is_none() {
            for exit in damages.iter().filter_map(|damage| damage.exit.as_ref()) {
                self.crashed(&exit.service, (&exit.container, Some(exit.code)), 1, now);
            }
        }
        if damages.is_empty() {
            self.crashes.retain(|_, crashes| now < crashes.calm_at());
        }
        match damages.as_slice() {
            [] => self.when_whole(now),
            [first, ..] => self.when_broken(first, &damages, now),
        }
    }

    fn when_whole(&mut self, now: Duration) -> Verdict {
        self.broken_since = None;
        if self.last_repair.is_some_and(|last| now >= last + LONGEST_CALM) {
            self.repairs = 0;
        }
        match self.crashes.iter().filter(|(_, crashes)| crashes.times >= MANY).max_by_key(|it| it.1.last) {
            Some((service, crashes)) => {
                self.whole_since = None;
                let told = crashes.trouble(service, None);
                Verdict::Crashing { look_again: crashes.calm_at(), told }
            }
            None => Verdict::Whole { since: *self.whole_since.get_or_insert(now) },
        }
    }

    fn when_broken(&mut self, first: &Damage, damages: &[Damage], now: Duration) -> Verdict {
        self.whole_since = None;
        let confirmed = *self.broken_since.get_or_insert(now) + CONFIRM;
        let pause = if self.repairs == 0 { Duration::ZERO } else { patience::pause(self.repairs) };
        let due = self.last_repair.map_or(Duration::ZERO, |last| last + pause);
        let told = (self.repairs > 0).then(|| self.trouble(first, due.saturating_sub(now)));
        if now < confirmed {
            return Verdict::Broken { look_again: confirmed, told: None };
        }
        if now < due {
            return Verdict::Broken { look_again: due, told };
        }
        self.repairs = self.repairs.saturating_add(1);
        self.last_repair = Some(now);
        self.broken_since = None;
        let why = damages.iter().take(3).map(Damage::to_string).collect::<Vec<_>>().join("; ");
        Verdict::Repair { why }
    }

    fn trouble(&self, damage: &Damage, left: Duration) -> Trouble {
        let next_repair = Some(left.as_secs());
        match self.crashes.get(&damage.what).filter(|_| damage.exit.is_some()) {
            Some(crashes) => crashes.trouble(&damage.what, next_repair),
            None => Trouble {
                service: damage.what.clone(),
                container: None,
                code: None,
                times: u64::from(self.repairs),
                other: Some(damage.to_string()),
                next_repair,
            },
        }
    }

    /// What the engine started again by itself since the last look.
    fn count_restarts(&mut self, stack: &Stack, observed: &Observed, now: Duration) {
        let ours =
            |container: &&Container| !container.oneoff && stack.services.contains_key(&container.service);
        let mut seen = BTreeMap::new();
        for container in observed.containers.iter().filter(ours) {
            let is_down = container.state == ContainerState::Restarting;
            // Seen for the first time while it is down, it has crashed as often as the engine says.
            let before = self.restarts.get(&container.id).copied();
            let before = before.unwrap_or(if is_down { 0 } else { container.restarts });
            let more = container.restarts.saturating_sub(before);
            if more > 0 {
                self.crashed(&container.service, (&container.id, container.last_exit), more, now);
            }
            seen.insert(container.id.clone(), container.restarts);
        }
        self.restarts = seen;
    }

    fn crashed(&mut self, service: &str, container: (&str, Option<i64>), times: u64, now: Duration) {
        let (container, code) = container;
        let known = self.crashes.entry(service.to_owned()).or_insert_with(|| Crashes {
            times: 0,
            last: now,
            gap: Duration::ZERO,
            code: None,
            container: String::new(),
        });
        known.times = known.times.saturating_add(times);
        known.gap = now.saturating_sub(known.last);
        known.last = now;
        known.code = code.or(known.code);
        container.clone_into(&mut known.container);
    }
}

impl Crashes {
    fn calm_at(&self) -> Duration {
        self.last + (self.gap * 3).clamp(CALM, LONGEST_CALM)
    }

    fn trouble(&self, service: &str, next_repair: Option<u64>) -> Trouble {
        Trouble {
            service: service.to_owned(),
            container: Some(self.container.clone()),
            code: self.code,
            times: self.times,
            other: None,
            next_repair,
        }
    }
}

#[cfg(test)]
mod tests;
