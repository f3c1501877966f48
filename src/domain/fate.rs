//! Why an environment is as it is, and what will end that, and when. Pure.

use serde::Serialize;

use super::environment::{Environment, Intent, Outcome, Phase};
use super::presence::Presence;
use super::rest::{self, Rules};
use super::time::Timestamp;

/// What is said of an environment's present and future.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// Why it is alive, waiting or gone.
    pub because: String,
    /// Why it is awake; nothing where it is not.
    pub awake: Option<String>,
    /// What comes unless somebody does something, the earliest first.
    pub upcoming: Vec<Upcoming>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upcoming {
    pub what: What,
    pub at: Timestamp,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Sleep,
    Archive,
}

/// What there is to say by these rules.
pub fn tell(environment: &Environment, rules: Rules, presence: Presence) -> Fate {
    Fate {
        because: because(environment),
        awake: awake(environment, rules, presence),
        upcoming: upcoming(environment, rules),
    }
}

fn awake(environment: &Environment, rules: Rules, presence: Presence) -> Option<String> {
    if !environment.serving {
        return None;
    }
    if presence.is_somebody() {
        let Presence { requests, tunnels } = presence;
        return Some(format!(
            "somebody is there: {requests} open requests, {tunnels} WebSockets or other upgraded connections"
        ));
    }
    if rules.sleep_after.is_none() {
        return Some("it never sleeps (`sleep_after` is 0)".to_owned());
    }
    Some(match environment.last_visited_at.filter(|visited| *visited > environment.active_at) {
        Some(visited) => format!("somebody was there at {visited}"),
        None => format!("it was deployed or woken at {}", environment.active_at),
    })
}

fn because(environment: &Environment) -> String {
    let reason = || environment.reason.clone().unwrap_or_default();
    match (&environment.intent, environment.phase) {
        (Intent::End { outcome, archive }, Phase::Archived | Phase::Destroyed) => {
            let kept = if *archive { "; an archive is kept" } else { "; nothing is kept" };
            format!("{}{kept}", ended_by(*outcome))
        }
        (Intent::End { outcome, .. }, _) => format!("it is ending: {}", ended_by(*outcome)),
        (Intent::Sleep { why, .. }, _) => format!("it sleeps: {why}"),
        (_, Phase::Queued) if environment.reason.is_some() => reason(),
        (_, Phase::Queued) => "its turn comes next".to_owned(),
        (_, Phase::Failed | Phase::Blocked) => {
            format!("the branch is there, but {}", reason().lines().next().unwrap_or_default())
        }
        (_, _) if environment.restored.as_ref().is_some_and(|restored| !restored.follows_branch) => {
            "it came out of an archive and follows no branch; it stays until somebody ends it".to_owned()
        }
        (_, _) if environment.pinned => "the branch is there, and it is pinned".to_owned(),
        (_, _) => "the branch is there and not merged".to_owned(),
    }
}

fn ended_by(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Merged => "the branch was merged",
        Outcome::Deleted => "the branch was deleted",
        Outcome::Expired => {
            "nobody wanted it for too long, its pull request was closed, or another one needed its place"
        }
        Outcome::Manual => "somebody asked for it",
    }
}

fn upcoming(environment: &Environment, rules: Rules) -> Vec<Upcoming> {
    if environment.intent.ends() {
        return Vec::new();
    }
    let mut upcoming = Vec::new();
    if let Some(ending) = environment.ending {
        let why = format!("{} (`merge_grace`)", ended_by(ending.outcome));
        upcoming.push(Upcoming { what: What::Archive, at: ending.due_at, why });
    }
    if let Some(at) = rest::sleeps_at(environment, rules) {
        let why = "unless somebody visits it before (`sleep_after`)".to_owned();
        upcoming.push(Upcoming { what: What::Sleep, at, why });
    }
    if let Some(at) = rest::expires_at(environment, rules) {
        let why = "unless somebody visits it, pushes or pins it before (`expire_after`)".to_owned();
        upcoming.push(Upcoming { what: What::Archive, at, why });
    }
    upcoming.sort_by_key(|it| it.at);
    upcoming
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::environment::{Ending, sample};

    const NOBODY: Presence = Presence { requests: 0, tunnels: 0 };

    #[test]
    fn it_says_why_something_is_awake() {
        let rules = Rules { sleep_after: Some(Duration::from_secs(60)), ..Rules::default() };
        let woken = Environment { phase: Phase::Ready, serving: true, ..sample("a") };
        let said =
            |environment: &Environment, rules, presence| tell(environment, rules, presence).awake.unwrap();
        assert!(said(&woken, rules, NOBODY).starts_with("it was deployed or woken at 1970"));
        let visited = Environment { last_visited_at: Some(Timestamp::from_millis(5_000)), ..woken.clone() };
        assert_eq!(said(&visited, rules, NOBODY), "somebody was there at 1970-01-01T00:00:05.000Z");
        assert!(said(&visited, Rules::default(), NOBODY).contains("never sleeps"));
        let tunnel = Presence { requests: 0, tunnels: 1 };
        assert!(said(&visited, rules, tunnel).contains("1 WebSockets"));
        let asleep = Environment { serving: false, ..woken };
        assert_eq!(tell(&asleep, rules, tunnel).awake, None);
    }

    #[test]
    fn it_says_what_comes_in_its_order() {
        let ready = Environment { phase: Phase::Ready, ..sample("a") };
        let rules = Rules {
            sleep_after: Some(Duration::from_secs(60)),
            expire_after: Some(Duration::from_secs(600)),
            ..Rules::default()
        };
        let ending = Ending { outcome: Outcome::Merged, due_at: Timestamp::from_millis(300_000) };
        let merged = Environment { ending: Some(ending), ..ready.clone() };
        let whats: Vec<(What, i64)> =
            tell(&merged, rules, NOBODY).upcoming.iter().map(|it| (it.what, it.at.as_millis())).collect();
        assert_eq!(whats, [(What::Sleep, 60_000), (What::Archive, 300_000), (What::Archive, 600_000)]);
        assert_eq!(tell(&ready, Rules::default(), NOBODY).upcoming, []);
        assert_eq!(tell(&ready, rules, NOBODY).because, "the branch is there and not merged");
    }

    #[test]
    fn it_says_why_something_is_gone_or_waits() {
        let intent = Intent::End { outcome: Outcome::Merged, archive: true };
        let gone = Environment { phase: Phase::Archived, intent, ..sample("a") };
        assert_eq!(
            tell(&gone, Rules::default(), NOBODY).because,
            "the branch was merged; an archive is kept"
        );
        let waiting = Environment {
            phase: Phase::Queued,
            reason: Some("waiting for a place: 2 of 2".to_owned()),
            ..sample("a")
        };
        assert!(tell(&waiting, Rules::default(), NOBODY).because.starts_with("waiting for a place"));
    }
}
