//! Who makes room when a disk is nearly full and all that can be made anew is gone already. Pure.

use super::environment::{ArchiveRecord, Environment, Phase};

/// So many ends that freed nothing, and no further one follows: what fills the disk is not drey's.
pub const IN_VAIN: u32 = 3;
/// Least bytes that are free before an archive is begun that nobody knows the size of.
const LEAST_FREE: u64 = 64 << 20;

/// The environment that nobody visited, pushed to or asked for, for the longest time. Pinned ones and those that are worked on
/// stay.
pub fn choose(environments: &[Environment]) -> Option<&Environment> {
    let may_go = |it: &&Environment| {
        let stands = matches!(it.phase, Phase::Ready | Phase::Asleep | Phase::Failed | Phase::Blocked);
        stands && !it.pinned && !it.has_work() && !it.intent.ends()
    };
    let wanted_at = |it: &&Environment| (it.last_wanted_at(), it.id);
    environments.iter().filter(may_go).min_by_key(wanted_at)
}

/// Whether an archive of the environment finds room: twice what the largest of its repository has, since nothing is removed
/// before its archive is whole.
pub fn has_room_for_archive(environment: &Environment, archives: &[ArchiveRecord], free_bytes: u64) -> bool {
    let of_repo = archives.iter().filter(|it| it.repo == environment.repo && it.removed_at.is_none());
    let largest = of_repo.map(|it| it.size_bytes).max().unwrap_or(0);
    free_bytes >= largest.saturating_mul(2).max(LEAST_FREE)
}

/// What became of the ends so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Free bytes when the last end was asked for.
    before: Option<u64>,
    in_vain: u32,
}

impl Progress {
    /// Before the next end; `free_bytes` now. None when no further one is of any use.
    #[must_use]
    pub fn next(self, free_bytes: u64) -> Option<Self> {
        let was_vain = self.before.is_some_and(|before| free_bytes <= before);
        let in_vain = if was_vain { self.in_vain + 1 } else { 0 };
        (in_vain < IN_VAIN).then_some(Self { before: Some(free_bytes), in_vain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::environment::{Intent, Outcome, sample};
    use crate::domain::names::{EnvironmentId, Generation};
    use crate::domain::time::Timestamp;

    fn environment(id: i64, active: i64, visited: Option<i64>) -> Environment {
        Environment {
            id: EnvironmentId(id),
            active_at: Timestamp::from_millis(active),
            last_visited_at: visited.map(Timestamp::from_millis),
            ..sample("x")
        }
    }

    #[test]
    fn the_one_that_nobody_wanted_for_longest_goes_and_what_is_pinned_or_worked_on_stays() {
        let pinned = Environment { pinned: true, ..environment(1, 1, None) };
        let building = Environment { settled_generation: Generation(0), ..environment(2, 1, None) };
        let ending = Environment {
            intent: Intent::End { outcome: Outcome::Manual, archive: true },
            phase: Phase::Failed,
            ..environment(3, 1, None)
        };
        let mut all = vec![pinned, building, ending];
        assert_eq!(choose(&all), None);
        all.extend([environment(4, 5, Some(90)), environment(5, 50, Some(7)), environment(6, 60, None)]);
        assert_eq!(choose(&all).map(|it| it.id), Some(EnvironmentId(5)), "pushed at 50, visited before that");
    }

    #[test]
    fn an_archive_is_begun_where_it_finds_room() {
        let one = environment(1, 1, None);
        assert!(has_room_for_archive(&one, &[], LEAST_FREE));
        assert!(!has_room_for_archive(&one, &[], LEAST_FREE - 1));
        let archive = ArchiveRecord {
            id: "x-1-1".into(),
            environment: one.id,
            repo: one.repo.clone(),
            branch: one.branch.clone(),
            slug: one.slug.clone(),
            commit: None,
            outcome: Outcome::Merged,
            created_at: one.created_at,
            size_bytes: LEAST_FREE,
            verified_at: None,
            sha256: None,
            pinned: false,
            removed_at: None,
            removed_reason: None,
        };
        assert!(!has_room_for_archive(&one, std::slice::from_ref(&archive), LEAST_FREE));
        assert!(has_room_for_archive(&one, &[archive], LEAST_FREE * 2));
    }

    #[test]
    fn ends_that_free_nothing_are_soon_given_up() {
        let mut progress = Progress::default();
        for free in [100, 100, 90] {
            progress = progress.next(free).unwrap();
        }
        assert_eq!(progress.next(90), None);
        assert!(progress.next(91).unwrap().next(91).is_some(), "one that helped counts for all before it");
    }
}
