//! Who may be awake: how many environments run at once, and who makes room for whom. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::environment::{Environment, Intent, Phase};
use super::names::{EnvironmentId, RepoName};
use super::time::Timestamp;

/// What happens when another environment wants to run and all places are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits until one is free.
    #[default]
    Wait,
    /// The one that nobody visited for longest is put to sleep.
    SleepOldest,
    /// The one that nobody visited for longest is archived.
    ArchiveOldest,
}

/// How many environments may be awake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of all repositories together; `None`: any number.
    pub total: Option<usize>,
    pub per_repository: BTreeMap<RepoName, usize>,
    pub when_full: WhenFull,
}

impl Rules {
    pub fn are_none(&self) -> bool {
        self.total.is_none() && self.per_repository.is_empty()
    }
}

/// Least time that somebody stays who was just visited or came up: two visitors of a full house do not take turns.
pub const STAY: Duration = Duration::from_secs(60);

/// Somebody who has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    id: EnvironmentId,
    repo: RepoName,
    /// May be asked to go: neither pinned nor worked on.
    is_movable: bool,
    /// On its way out: its place is free soon.
    is_leaving: bool,
    wanted_at: Timestamp,
}

impl Tenant {
    /// The tenant that this environment is, if it has a place. `was_let_in`: it was given one, whatever the row says yet.
    pub fn of(environment: &Environment, was_let_in: bool) -> Option<Self> {
        let leaves = !environment.intent.runs();
        let is_up = environment.phase == Phase::Ready || environment.fell_back();
        (was_let_in || is_awake(environment)).then(|| Self {
            id: environment.id,
            repo: environment.repo.clone(),
            is_movable: !environment.pinned && !environment.has_work() && is_up,
            is_leaving: leaves,
            wanted_at: environment.last_wanted_at(),
        })
    }
}

/// Containers of it run, or may: it has a place.
pub fn is_awake(environment: &Environment) -> bool {
    match environment.phase {
        // Who wakes has a place as soon as it is let in.
        Phase::Queued | Phase::Waking | Phase::Archived | Phase::Destroyed => false,
        Phase::Asleep => environment.has_work() && matches!(environment.intent, Intent::Sleep { .. }),
        // What did not come up was stopped or cleared away, unless a version from before is served.
        Phase::Failed | Phase::Blocked => environment.serving,
        Phase::Preparing
        | Phase::Building
        | Phase::Starting
        | Phase::Ready
        | Phase::Updating
        | Phase::Archiving
        | Phase::Destroying => true,
    }
}

/// Somebody who wants a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    pub id: EnvironmentId,
    pub repo: RepoName,
    /// `REPO/BRANCH`.
    pub name: String,
}

/// What becomes of one who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Enter,
    /// And why.
    Wait(String),
    /// It waits for this one, which has to go; `why` is for the one that goes.
    MakeRoom {
        of: EnvironmentId,
        why: String,
    },
}

/// A verdict for each who asks, in their order: who is first in the row is first in the house.
pub fn decide(asking: &[Asking], tenants: &[Tenant], rules: &Rules, now: Timestamp) -> Vec<Verdict> {
    let mut house = Occupancy::of(tenants, rules, now);
    asking.iter().map(|one| house.judge(one)).collect()
}

struct Occupancy<'a> {
    rules: &'a Rules,
    now: Timestamp,
    tenants: &'a [Tenant],
    awake: usize,
    awake_of: BTreeMap<&'a RepoName, usize>,
    /// Those on their way out whose place nobody in the row counts on yet.
    leaving: BTreeSet<EnvironmentId>,
    asked_to_go: BTreeSet<EnvironmentId>,
}

impl<'a> Occupancy<'a> {
    fn of(tenants: &'a [Tenant], rules: &'a Rules, now: Timestamp) -> Self {
        let mut awake_of = BTreeMap::new();
        for tenant in tenants {
            *awake_of.entry(&tenant.repo).or_default() += 1;
        }
        let leaving = tenants.iter().filter(|it| it.is_leaving).map(|it| it.id).collect();
        let asked_to_go = BTreeSet::new();
        Self { rules, now, tenants, awake: tenants.len(), awake_of, leaving, asked_to_go }
    }

    fn judge(&mut self, one: &Asking) -> Verdict {
        let of_repo = self.awake_of.get(&one.repo).copied().unwrap_or_default();
        let cap = self.rules.per_repository.get(&one.repo).copied();
        let (scope, full) = match (cap, self.rules.total) {
            (Some(cap), _) if of_repo >= cap => {
                let full =
                    format!("{of_repo} of {cap} environments of {} are awake (its `environments`)", one.repo);
                (Some(&one.repo), full)
            }
            (_, Some(total)) if self.awake >= total => {
                let full =
                    format!("{} of {total} environments are awake ([limits] environments)", self.awake);
                (None, full)
            }
            _ => {
                self.awake += 1;
                if let Some(tenant) = self.tenants.iter().find(|tenant| tenant.repo == one.repo) {
                    *self.awake_of.entry(&tenant.repo).or_default() += 1;
                }
                return Verdict::Enter;
            }
        };
        self.room_in(one, scope, &full)
    }

    fn room_in(&mut self, one: &Asking, scope: Option<&RepoName>, full: &str) -> Verdict {
        let is_in_scope = |tenant: &&Tenant| scope.is_none_or(|repo| tenant.repo == *repo);
        let going = self.tenants.iter().filter(is_in_scope).find(|it| self.leaving.contains(&it.id));
        if let Some(going) = going {
            self.leaving.remove(&going.id);
            return Verdict::Wait(format!("waiting for a place: {full}, and one of them is on its way out"));
        }
        if self.rules.when_full == WhenFull::Wait {
            return Verdict::Wait(format!(
                "waiting for a place: {full}; it goes on when one of them sleeps or ends (when_full = \"wait\")"
            ));
        }
        let oldest = self
            .tenants
            .iter()
            .filter(is_in_scope)
            .filter(|it| it.is_movable && !it.is_leaving && !self.asked_to_go.contains(&it.id))
            .filter(|it| it.wanted_at.plus(STAY) <= self.now)
            .min_by_key(|it| (it.wanted_at, it.id));
        let Some(oldest) = oldest else {
            return Verdict::Wait(format!(
                "waiting for a place: {full}, and each of them is pinned, worked on or was wanted within the last {} s",
                STAY.as_secs()
            ));
        };
        self.asked_to_go.insert(oldest.id);
        let why = format!("its place went to {}: {full}, and nobody had visited it for longest", one.name);
        Verdict::MakeRoom { of: oldest.id, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::environment::sample;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn tenant(id: i64, wanted_at: i64) -> Tenant {
        Tenant {
            id: EnvironmentId(id),
            repo: RepoName::parse("shop").unwrap(),
            is_movable: true,
            is_leaving: false,
            wanted_at: at(wanted_at),
        }
    }

    fn asking(id: i64, repo: &str) -> Asking {
        let repo = RepoName::parse(repo).unwrap();
        Asking { id: EnvironmentId(id), name: format!("{repo}/b{id}"), repo }
    }

    fn rules(total: usize, when_full: WhenFull) -> Rules {
        Rules { total: Some(total), when_full, ..Rules::default() }
    }

    #[test]
    fn places_are_given_in_order_until_the_house_is_full() {
        let row = [asking(8, "shop"), asking(9, "shop")];
        let verdicts = decide(&row, &[tenant(1, 0)], &rules(2, WhenFull::Wait), at(1000));
        assert_eq!(verdicts[0], Verdict::Enter);
        assert!(matches!(&verdicts[1], Verdict::Wait(why) if why.contains("2 of 2 environments are awake")));
        assert_eq!(decide(&row, &[], &Rules::default(), at(0)), [Verdict::Enter, Verdict::Enter]);
    }

    #[test]
    fn the_one_that_nobody_visited_for_longest_makes_room() {
        let tenants =
            [tenant(1, 500), tenant(2, 100), Tenant { is_movable: false, ..tenant(3, 0) }, tenant(4, 990)];
        let row = [asking(7, "shop"), asking(8, "shop"), asking(9, "shop")];
        let verdicts = decide(&row, &tenants, &rules(4, WhenFull::SleepOldest), at(1000));
        let of = |verdict: &Verdict| match verdict {
            Verdict::MakeRoom { of, .. } => Some(of.0),
            Verdict::Enter | Verdict::Wait(_) => None,
        };
        assert_eq!(verdicts.iter().map(of).collect::<Vec<_>>(), [Some(2), Some(1), None]);
        assert!(matches!(&verdicts[2], Verdict::Wait(why) if why.contains("within the last 60 s")));
        assert!(
            matches!(&verdicts[0], Verdict::MakeRoom { why, .. } if why.starts_with("its place went to shop/b7: 4 of 4"))
        );
    }

    #[test]
    fn nobody_else_is_sent_away_while_one_is_going() {
        let tenants = [Tenant { is_leaving: true, ..tenant(1, 900) }, tenant(2, 100)];
        let row = [asking(8, "shop"), asking(9, "shop")];
        let verdicts = decide(&row, &tenants, &rules(2, WhenFull::ArchiveOldest), at(1000));
        assert!(matches!(&verdicts[0], Verdict::Wait(why) if why.contains("on its way out")));
        assert!(matches!(&verdicts[1], Verdict::MakeRoom { of: EnvironmentId(2), .. }));
    }

    #[test]
    fn a_repository_has_its_own_cap_and_makes_room_in_itself() {
        let other = Tenant { repo: RepoName::parse("site").unwrap(), ..tenant(2, 0) };
        let tenants = [tenant(1, 500), other];
        let caps = BTreeMap::from([(RepoName::parse("shop").unwrap(), 1)]);
        let rules = Rules { total: Some(10), per_repository: caps, when_full: WhenFull::SleepOldest };
        let row = [asking(8, "shop"), asking(9, "site")];
        let verdicts = decide(&row, &tenants, &rules, at(1000));
        assert!(
            matches!(&verdicts[0], Verdict::MakeRoom { of: EnvironmentId(1), why } if why.contains("1 of 1 environments of shop"))
        );
        assert_eq!(verdicts[1], Verdict::Enter);
    }

    #[test]
    fn who_sleeps_waits_or_never_came_up_has_no_place() {
        let ready = Environment { phase: Phase::Ready, ..sample("a") };
        assert!(is_awake(&ready));
        let queued = Environment { phase: Phase::Queued, running_commit: None, ..sample("a") };
        assert!(!is_awake(&queued) && Tenant::of(&queued, true).is_some());
        let failed =
            Environment { phase: Phase::Failed, running_commit: None, serving: false, ..sample("a") };
        assert!(!is_awake(&failed));
        let of_a_sleeper = Environment { phase: Phase::Failed, serving: false, ..ready.clone() };
        assert!(of_a_sleeper.running_commit.is_some() && !is_awake(&of_a_sleeper));
        let fell_back = Environment { phase: Phase::Blocked, serving: true, ..ready.clone() };
        assert!(Tenant::of(&fell_back, false).unwrap().is_movable);
        let asleep = Environment {
            phase: Phase::Asleep,
            intent: Intent::Sleep { why: String::new(), gives_way: false },
            ..ready
        };
        assert!(!is_awake(&asleep));
    }
}
