//! When an environment that nobody wants goes to sleep, and when it ends. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration::spoken;
use super::environment::{Environment, Phase};
use super::time::Timestamp;

/// What becomes of the containers of what sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SleepMode {
    /// They end; their memory is free.
    #[default]
    Stop,
    /// They are frozen where they are: back at once, and their memory stays taken.
    Pause,
}

impl SleepMode {
    /// As in `sleep = "pause"`.
    ///
    /// # Errors
    /// Names the two there are.
    pub fn parse(word: Option<&str>) -> Result<Self, String> {
        match word {
            Some("stop") => Ok(Self::Stop),
            Some("pause") => Ok(Self::Pause),
            Some(_) | None => Err("must be \"stop\" or \"pause\"".to_owned()),
        }
    }
}

/// How long an environment stays without a visit or a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// From the last visit or deployment to sleep; `None`: never.
    pub sleep_after: Option<Duration>,
    /// From the last visit or push to the archive; `None`: never.
    pub expire_after: Option<Duration>,
    pub sleep: SleepMode,
}

/// What is due, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    Sleep(String),
    Expire(String),
}

/// How long before its end an environment says so.
const WARNING: Duration = Duration::from_secs(24 * 60 * 60);

/// When it goes to sleep if nobody comes; `None` where it does not. What failed and serves a version from before sleeps as
/// well.
pub fn sleeps_at(environment: &Environment, rules: Rules) -> Option<Timestamp> {
    let is_up = environment.phase == Phase::Ready || environment.fell_back();
    let may = is_up && environment.intent.runs() && !environment.has_work();
    Some(environment.last_wanted_at().plus(rules.sleep_after.filter(|_| may)?))
}

/// When it ends if nobody comes; `None` where it does not.
pub fn expires_at(environment: &Environment, rules: Rules) -> Option<Timestamp> {
    let may = !environment.pinned && !environment.intent.ends() && !environment.phase.is_over();
    Some(environment.last_wanted_at().plus(rules.expire_after.filter(|_| may)?))
}

/// What is due now. Nothing is, while it is worked on.
pub fn due(environment: &Environment, rules: Rules, now: Timestamp) -> Option<Due> {
    if environment.has_work() {
        return None;
    }
    if expires_at(environment, rules).is_some_and(|at| at <= now) {
        let after = rules.expire_after.map(spoken).unwrap_or_default();
        return Some(Due::Expire(format!("nobody visited it or pushed for {after} (`expire_after`)")));
    }
    if sleeps_at(environment, rules).is_some_and(|at| at <= now) {
        let after = rules.sleep_after.map(spoken).unwrap_or_default();
        return Some(Due::Sleep(format!("nobody visited it for {after} (`sleep_after`); a visit wakes it")));
    }
    None
}

/// What is said on the last day of an environment, on the second half of a short life.
pub fn warning(environment: &Environment, rules: Rules, now: Timestamp) -> Option<String> {
    let after = rules.expire_after?;
    let left = expires_at(environment, rules)?.since(now);
    (left <= WARNING.min(after / 2)).then(|| {
        format!(
            "expires in {}: nobody visited it or pushed since {}; a visit, a push or `drey env pin` keeps it",
            spoken(left),
            environment.last_wanted_at()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::environment::{Intent, sample};

    const RULES: Rules = Rules {
        sleep_after: Some(Duration::from_secs(60)),
        expire_after: Some(Duration::from_secs(600)),
        sleep: SleepMode::Stop,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn ready() -> Environment {
        Environment { phase: Phase::Ready, active_at: at(100), ..sample("a") }
    }

    #[test]
    fn a_visit_puts_sleep_off_and_a_pin_the_end() {
        let never_visited = ready();
        assert_eq!(due(&never_visited, RULES, at(159)), None);
        assert!(matches!(due(&never_visited, RULES, at(160)), Some(Due::Sleep(why)) if why.contains("1m")));
        let visited = Environment { last_visited_at: Some(at(150)), ..ready() };
        assert_eq!(due(&visited, RULES, at(209)), None);
        assert!(matches!(due(&visited, RULES, at(749)), Some(Due::Sleep(_))));
        assert!(matches!(due(&visited, RULES, at(750)), Some(Due::Expire(why)) if why.contains("10m")));
        let pinned = Environment { pinned: true, ..visited };
        assert!(matches!(due(&pinned, RULES, at(750)), Some(Due::Sleep(_))));
    }

    #[test]
    fn what_failed_sleeps_where_a_version_from_before_is_served() {
        let fell_back = Environment { phase: Phase::Failed, serving: true, ..ready() };
        assert_eq!(due(&fell_back, RULES, at(159)), None);
        assert!(matches!(due(&fell_back, RULES, at(160)), Some(Due::Sleep(_))));
        let blocked = Environment { phase: Phase::Blocked, ..fell_back.clone() };
        assert!(matches!(due(&blocked, RULES, at(160)), Some(Due::Sleep(_))));
        let is_down = Environment { serving: false, ..fell_back };
        assert_eq!(
            due(&is_down, RULES, at(160)),
            None,
            "nothing of it runs, and its reason stays to be seen"
        );
    }

    #[test]
    fn who_sleeps_already_or_is_worked_on_is_left_alone() {
        let asleep = Environment {
            phase: Phase::Asleep,
            intent: Intent::Sleep { why: String::new(), gives_way: false },
            ..ready()
        };
        assert_eq!(due(&asleep, RULES, at(699)), None);
        assert!(matches!(due(&asleep, RULES, at(700)), Some(Due::Expire(_))));
        let busy = Environment { generation: crate::domain::names::Generation(9), ..ready() };
        assert_eq!(due(&busy, RULES, at(10_000)), None);
        assert_eq!(due(&ready(), Rules::default(), at(1_000_000)), None);
    }

    #[test]
    fn the_end_is_told_before_it_comes() {
        assert_eq!(warning(&ready(), RULES, at(399)), None);
        let told = warning(&ready(), RULES, at(640)).unwrap();
        assert!(told.starts_with("expires in 1m: nobody visited"), "{told}");
        let long = Rules { expire_after: Some(Duration::from_secs(14 * 86_400)), ..RULES };
        assert_eq!(warning(&ready(), long, at(100 + 13 * 86_400 - 1)), None);
        let told = warning(&ready(), long, at(100 + 13 * 86_400 + 3600)).unwrap();
        assert!(told.starts_with("expires in 23h: "), "{told}");
    }
}
