//! What the refs of a remote say that is not known here yet, and when a remote is asked next. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::environment::{Environment, Intent, Outcome};
use super::names::{BranchName, CommitSha};

/// Pause after the first time that a remote did not answer; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause while a remote does not answer: whoever mended it does not wait longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// News that were told and changed nothing are told again after this at the latest.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);
/// Pauses are longer or shorter by up to this part of them: what began together does not stay together.
const SPREAD: f64 = 0.15;

/// How the newest life of a branch ended that has no environment now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLife {
    pub commit: Option<CommitSha>,
    /// What was wanted of it at the end.
    pub intent: Intent,
}

/// What is known of a repository.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a> {
    /// Its environments that are not over.
    pub live: &'a [Environment],
    /// Branches that had one and have none now.
    pub ended: &'a BTreeMap<BranchName, LastLife>,
    pub main: &'a BranchName,
    /// Where main was when the branches were last compared with it.
    pub judged_main: Option<&'a CommitSha>,
}

/// Something that is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A branch that is to get an environment.
    New { branch: BranchName, tip: CommitSha },
    /// An environment's branch is elsewhere.
    Moved { branch: BranchName, tip: CommitSha },
    /// An environment's branch is not there any more.
    Gone { branch: BranchName },
    /// A branch that was gone is there again, before its environment ended.
    Back { branch: BranchName },
    /// Main is elsewhere: something may be merged, or not be merged any more.
    Main { tip: CommitSha },
}

impl News {
    /// A tip that its pusher may have asked to pass over.
    pub fn pushed(&self) -> Option<(&BranchName, &CommitSha)> {
        match self {
            Self::New { branch, tip } | Self::Moved { branch, tip } => Some((branch, tip)),
            Self::Gone { .. } | Self::Back { .. } | Self::Main { .. } => None,
        }
    }
}

/// Compares the tips at the remote with what is known. `wants`: whether the configuration wants an environment for
/// the branch.
pub fn news(
    tips: &BTreeMap<BranchName, CommitSha>,
    registry: Registry<'_>,
    wants: impl Fn(&BranchName) -> bool,
) -> Vec<News> {
    let of_environments = registry
        .live
        .iter()
        .filter(|environment| is_judged(environment) && environment.branch.pull_number().is_none())
        .filter_map(|environment| of_environment(environment, tips.get(&environment.branch)));
    let live: BTreeSet<&BranchName> = registry.live.iter().map(|environment| &environment.branch).collect();
    let of_branches = tips
        .iter()
        .filter(|(branch, _)| !live.contains(branch) && wants(branch))
        .filter(|(branch, tip)| is_new(tip, registry.ended.get(branch)))
        .map(|(branch, tip)| News::New { branch: branch.clone(), tip: tip.clone() });
    let main = tips.get(registry.main).filter(|tip| registry.judged_main != Some(tip));
    let of_main = main.map(|tip| News::Main { tip: tip.clone() });
    of_environments.chain(of_branches).chain(of_main).collect()
}

/// Git says where the environment is and when it ends; of a fork's pull request, the forge does.
pub fn is_judged(environment: &Environment) -> bool {
    !environment.intent.ends() && environment.follows_branch()
}

/// The remote has the branch elsewhere than the environment was told.
pub fn has_moved(environment: &Environment, tip: &CommitSha) -> bool {
    environment.commit.as_ref().is_some_and(|known| known != tip)
}

/// Whether a branch without an environment is to get one. Not where its last one ended at this very commit: it was
/// merged or taken down, and nobody has touched it since. One that ended because the branch was gone says nothing about
/// a branch that is there.
pub fn is_new(tip: &CommitSha, last: Option<&LastLife>) -> bool {
    let Some(last) = last else { return true };
    let for_itself = matches!(last.intent, Intent::End { outcome, .. } if outcome != Outcome::Deleted);
    !for_itself || last.commit.as_ref() != Some(tip)
}

fn of_environment(environment: &Environment, tip: Option<&CommitSha>) -> Option<News> {
    let branch = environment.branch.clone();
    let was_gone = environment.ending.is_some_and(|ending| ending.outcome == Outcome::Deleted);
    match tip {
        Some(tip) if has_moved(environment, tip) => Some(News::Moved { branch, tip: tip.clone() }),
        Some(_) if was_gone => Some(News::Back { branch }),
        None if environment.ending.is_none() => Some(News::Gone { branch }),
        Some(_) | None => None,
    }
}

/// When a remote is asked next: `every` so often while it answers, with growing pauses after so many failures in a row.
/// `None`: not before somebody asks for it. `chance` is a random number from 0 to 1.
pub fn next_in(every: Duration, failures: u32, chance: f64) -> Option<Duration> {
    if failures == 0 {
        return (!every.is_zero()).then(|| spread(every, chance));
    }
    let first = if every.is_zero() { FIRST_PAUSE } else { every.min(FIRST_PAUSE) };
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures - 1));
    Some(spread(doubled.min(LONGEST_PAUSE.max(every)), chance))
}

/// How long news that were told so many times are not told again.
pub fn silence(every: Duration, told: u32) -> Duration {
    let first = if every.is_zero() { FIRST_PAUSE } else { every };
    first.saturating_mul(2_u32.saturating_pow(told.saturating_sub(1))).min(LONGEST_SILENCE.max(every))
}

fn spread(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(1.0 + SPREAD * (2.0 * chance.clamp(0.0, 1.0) - 1.0))
}

/// Repositories with the same place are asked one after the other: the host of a URL, or the path on this machine.
pub fn place(url: &str) -> &str {
    let authority = match url.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None if url.starts_with('/') => return url,
        None => url.split(':').next().unwrap_or(url),
    };
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::environment::{Ending, Phase, Restored, sample};
    use crate::domain::time::Timestamp;

    fn sha(digit: char) -> CommitSha {
        CommitSha::parse(&digit.to_string().repeat(40)).unwrap()
    }

    fn branch(name: &str) -> BranchName {
        BranchName::parse(name).unwrap()
    }

    fn run(commit: char) -> Intent {
        Intent::Run { commit: Some(sha(commit)), rebuild: false, pull: false }
    }

    fn end(outcome: Outcome) -> Intent {
        Intent::End { outcome, archive: true }
    }

    fn environment(name: &str, commit: char) -> Environment {
        let commit = Some(sha(commit));
        let intent = Intent::Run { commit: commit.clone(), rebuild: false, pull: false };
        Environment { intent, commit: commit.clone(), running_commit: commit, ..sample(name) }
    }

    fn ending(outcome: Outcome, name: &str, commit: char) -> Environment {
        let ending = Ending { outcome, due_at: Timestamp::from_millis(9) };
        Environment { ending: Some(ending), ..environment(name, commit) }
    }

    /// With main at `a`, where it was judged, and every branch wanted but main and `ignored`.
    fn compared(tips: &[(&str, char)], live: &[Environment], ended: &[(&str, char, Intent)]) -> Vec<News> {
        let mut tips: BTreeMap<_, _> =
            tips.iter().map(|(name, commit)| (branch(name), sha(*commit))).collect();
        tips.entry(branch("main")).or_insert_with(|| sha('a'));
        let ended = ended.iter().map(|(name, commit, intent)| {
            (branch(name), LastLife { commit: Some(sha(*commit)), intent: intent.clone() })
        });
        let (main, judged) = (branch("main"), sha('a'));
        let registry = Registry { live, ended: &ended.collect(), main: &main, judged_main: Some(&judged) };
        news(&tips, registry, |branch| !["main", "ignored"].contains(&branch.as_str()))
    }

    #[test]
    fn what_is_known_is_no_news() {
        let there = environment("there", 'b');
        let failed = Environment { phase: Phase::Failed, running_commit: None, ..environment("failed", 'c') };
        let merging = ending(Outcome::Merged, "merging", 'd');
        let leaving = ending(Outcome::Deleted, "leaving", 'e');
        let going = Environment { intent: end(Outcome::Manual), ..environment("going", 'f') };
        let tips = [("there", 'b'), ("failed", 'c'), ("merging", 'd'), ("going", '1'), ("ignored", '2')];
        assert_eq!(compared(&tips, &[there, failed, merging, leaving, going], &[]), []);
    }

    #[test]
    fn branches_come_move_go_and_come_back() {
        let live =
            [environment("moved", 'b'), environment("gone", 'c'), ending(Outcome::Deleted, "back", 'd')];
        let tips = [("moved", 'e'), ("back", 'd'), ("new", 'f')];
        let expected = [
            News::Moved { branch: branch("moved"), tip: sha('e') },
            News::Gone { branch: branch("gone") },
            News::Back { branch: branch("back") },
            News::New { branch: branch("new"), tip: sha('f') },
        ];
        assert_eq!(compared(&tips, &live, &[]), expected);
    }

    #[test]
    fn a_branch_that_ended_comes_back_when_it_moved_or_had_been_gone() {
        for (intent, tip, is_news) in [
            (end(Outcome::Merged), 'b', false),
            (end(Outcome::Manual), 'b', false),
            (end(Outcome::Merged), 'c', true),
            (end(Outcome::Deleted), 'b', true),
            (run('b'), 'b', true),
        ] {
            let found = compared(&[("x", tip)], &[], &[("x", 'b', intent.clone())]);
            assert_eq!(!found.is_empty(), is_news, "{intent:?} {tip}");
        }
    }

    #[test]
    fn main_is_news_until_it_was_judged_and_its_absence_is_none() {
        assert_eq!(compared(&[("main", 'b')], &[], &[]), [News::Main { tip: sha('b') }]);
        let (main, ended) = (branch("main"), BTreeMap::new());
        let registry = Registry { live: &[], ended: &ended, main: &main, judged_main: Some(&sha('a')) };
        assert_eq!(news(&BTreeMap::new(), registry, |_| true), []);
    }

    #[test]
    fn what_came_out_of_an_archive_stays_where_it_is_until_it_follows() {
        let restored = |follows_branch| Environment {
            restored: Some(Restored { archive: "x-1-1".to_owned(), is_filled: true, follows_branch }),
            ..environment("x", 'b')
        };
        assert_eq!(compared(&[], &[restored(false)], &[]), []);
        assert_eq!(compared(&[], &[restored(true)], &[]).len(), 1);
    }

    #[test]
    fn pauses_grow_while_a_remote_is_away_and_differ_by_chance() {
        let minute = Duration::from_secs(60);
        let seconds = |failures| next_in(minute, failures, 0.5).unwrap().as_secs();
        assert_eq!((0..=8).map(seconds).collect::<Vec<_>>(), [60, 5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(next_in(minute, u32::MAX, 0.5).unwrap().as_secs(), 300);
        assert!(next_in(minute, 0, 0.0).unwrap() < next_in(minute, 0, 1.0).unwrap());
        assert_eq!(next_in(Duration::ZERO, 0, 0.5), None);
        assert_eq!(next_in(Duration::ZERO, 1, 0.5), Some(FIRST_PAUSE));
        let hours = Duration::from_secs(7200);
        assert_eq!(next_in(hours, 20, 0.5), Some(hours));
        let silences = |told| silence(minute, told).as_secs();
        assert_eq!([1, 2, 3, 9].map(silences), [60, 120, 240, 3600]);
    }

    #[test]
    fn a_place_is_a_host_or_a_path() {
        for (url, expected) in [
            ("/srv/git/shop.git", "/srv/git/shop.git"),
            ("https://user:token@git.example:8443/a/b.git", "git.example:8443"),
            ("ssh://git@host/x", "host"),
            ("git@host:a/b.git", "host"),
        ] {
            assert_eq!(place(url), expected);
        }
    }
}
