//! Which archives stay, and which go and why; whose images stay on the engine. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::environment::{ArchiveRecord, RemovalReason};
use super::time::Timestamp;

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Older ones go; none: no age is too high.
    pub keep: Option<Duration>,
    /// Bytes of all of them together; none: no sum is too large.
    pub max_bytes: Option<u64>,
    /// Bytes of images that stay on the engine for archives.
    pub image_bytes: u64,
}

/// What follows from the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Ids, in the order in which they go: oldest first.
    pub removals: Vec<(String, RemovalReason)>,
    /// By so many bytes what has to stay is larger than it may be.
    pub excess_bytes: u64,
}

/// What is too old goes; then the oldest, until what stays is within the budget. What is pinned, and the `in_use` (a
/// live environment was restored from it), stays and counts. Archives that were removed already count for nothing.
pub fn judge(
    archives: &[ArchiveRecord],
    in_use: &BTreeSet<String>,
    rules: &Rules,
    now: Timestamp,
) -> Verdict {
    let mut there: Vec<&ArchiveRecord> =
        archives.iter().filter(|archive| archive.removed_at.is_none()).collect();
    there.sort_by_key(|archive| (archive.created_at, &archive.id));
    let mut sum: u64 = there.iter().fold(0, |sum, archive| sum.saturating_add(archive.size_bytes));
    let too_old =
        |archive: &ArchiveRecord| rules.keep.is_some_and(|keep| now.since(archive.created_at) > keep);
    let mut verdict = Verdict::default();
    // The oldest come first: behind one that is young enough there is none that is too old.
    for archive in there.into_iter().filter(|archive| refusal(archive, in_use).is_none()) {
        let reason = if too_old(archive) {
            RemovalReason::Expired
        } else if rules.max_bytes.is_some_and(|most| sum > most) {
            RemovalReason::OverBudget
        } else {
            break;
        };
        sum = sum.saturating_sub(archive.size_bytes);
        verdict.removals.push((archive.id.clone(), reason));
    }
    verdict.excess_bytes = rules.max_bytes.map_or(0, |most| sum.saturating_sub(most));
    verdict
}

/// Why the archive cannot be removed now, whoever wants it.
pub fn refusal(archive: &ArchiveRecord, in_use: &BTreeSet<String>) -> Option<&'static str> {
    if archive.pinned {
        return Some("it is pinned; `drey archive unpin` lets it go");
    }
    in_use.contains(&archive.id).then_some("an environment that was restored from it is live")
}

/// An image that an archive keeps on the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldImage {
    pub archive: String,
    /// Of the archive.
    pub created_at: Timestamp,
    pub tag: String,
    pub size_bytes: u64,
}

/// The archives whose images go, so that those of the newest are within the budget. An image that several archives keep
/// counts once; an archive's images stay together, and no older one's instead of them.
pub fn images_to_let_go(held: &[HeldImage], budget: u64) -> Vec<String> {
    let mut archives: BTreeMap<(Timestamp, &str), Vec<&HeldImage>> = BTreeMap::new();
    for image in held {
        archives.entry((image.created_at, &image.archive)).or_default().push(image);
    }
    let (mut tags, mut sum) = (BTreeSet::new(), 0_u64);
    let mut gone = Vec::new();
    for ((_, archive), images) in archives.into_iter().rev() {
        for image in images {
            if tags.insert(&image.tag) {
                sum = sum.saturating_add(image.size_bytes);
            }
        }
        if sum > budget {
            gone.push(archive.to_owned());
        }
    }
    gone.reverse();
    gone
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::environment::Outcome;
    use crate::domain::names::{BranchName, EnvironmentId, RepoName, Slug};

    const DAY: i64 = 86_400_000;

    fn archive(id: &str, day: i64, size_bytes: u64) -> ArchiveRecord {
        ArchiveRecord {
            id: id.to_owned(),
            environment: EnvironmentId(1),
            repo: RepoName::parse("shop").unwrap(),
            branch: BranchName::parse("x").unwrap(),
            slug: Slug::parse("feature-x").unwrap(),
            commit: None,
            outcome: Outcome::Merged,
            created_at: Timestamp::from_millis(day * DAY),
            size_bytes,
            verified_at: None,
            sha256: None,
            pinned: false,
            removed_at: None,
            removed_reason: None,
        }
    }

    fn pinned(archive: ArchiveRecord) -> ArchiveRecord {
        ArchiveRecord { pinned: true, ..archive }
    }

    fn rules(days: Option<u64>, max_bytes: Option<u64>) -> Rules {
        Rules { keep: days.map(|days| Duration::from_secs(days * 86_400)), max_bytes, image_bytes: 0 }
    }

    fn verdict(archives: &[ArchiveRecord], rules: &Rules) -> String {
        let verdict =
            judge(archives, &BTreeSet::from(["used".to_owned()]), rules, Timestamp::from_millis(100 * DAY));
        let removals: Vec<String> =
            verdict.removals.iter().map(|(id, reason)| format!("{id} {reason:?}")).collect();
        format!("{} / {}", removals.join(", "), verdict.excess_bytes)
    }

    #[test]
    fn what_is_too_old_goes_first_and_then_the_oldest() {
        let archives =
            [archive("c", 90, 10), archive("a", 5, 10), archive("d", 99, 10), archive("b", 80, 10)];
        assert_eq!(verdict(&archives, &rules(None, None)), " / 0");
        assert_eq!(verdict(&archives, &rules(Some(90), None)), "a Expired / 0");
        assert_eq!(verdict(&archives, &rules(Some(95), None)), " / 0", "as old as it may be is not too old");
        assert_eq!(verdict(&archives, &rules(Some(90), Some(30))), "a Expired / 0");
        assert_eq!(verdict(&archives, &rules(Some(90), Some(29))), "a Expired, b OverBudget / 0");
        assert_eq!(
            verdict(&archives, &rules(None, Some(9))),
            "a OverBudget, b OverBudget, c OverBudget, d OverBudget / 0"
        );
    }

    #[test]
    fn what_is_pinned_or_used_stays_and_counts() {
        let archives =
            [pinned(archive("a", 1, 10)), archive("used", 2, 10), archive("b", 50, 10), archive("c", 99, 10)];
        assert_eq!(verdict(&archives, &rules(Some(90), Some(30))), "b OverBudget / 0");
        assert_eq!(verdict(&archives, &rules(Some(90), Some(15))), "b OverBudget, c OverBudget / 5");
    }

    #[test]
    fn what_was_removed_counts_for_nothing() {
        let gone = ArchiveRecord { removed_at: Some(Timestamp::from_millis(0)), ..archive("a", 1, 1000) };
        assert_eq!(verdict(&[gone, archive("b", 99, 10)], &rules(Some(90), Some(10))), " / 0");
    }

    #[test]
    fn the_images_of_the_oldest_archives_go_and_shared_ones_count_once() {
        let held = |archive: &str, day: i64, tag: &str| HeldImage {
            archive: archive.to_owned(),
            created_at: Timestamp::from_millis(day * DAY),
            tag: tag.to_owned(),
            size_bytes: 10,
        };
        let images = [
            held("new", 9, "web:2"),
            held("old", 1, "web:1"),
            held("new", 9, "db:1"),
            held("old", 1, "db:1"),
            held("middle", 5, "db:1"),
        ];
        assert_eq!(images_to_let_go(&images, 30), Vec::<String>::new());
        assert_eq!(images_to_let_go(&images, 29), ["old"]);
        assert_eq!(images_to_let_go(&images, 20), ["old"], "middle has only what new has");
        assert_eq!(images_to_let_go(&images, 19), ["old", "middle", "new"]);
        assert_eq!(images_to_let_go(&images, 0), ["old", "middle", "new"]);
    }

    proptest! {
        #[test]
        fn nothing_goes_without_need_and_a_second_look_finds_nothing(
            given in prop::collection::vec((0_i64..120, 0_u64..50, any::<bool>()), 0..12),
            days in prop::option::of(0_u64..120),
            most in prop::option::of(0_u64..300),
        ) {
            let now = Timestamp::from_millis(120 * DAY);
            let archives: Vec<ArchiveRecord> = given.iter().enumerate().map(|(number, (day, size, pin))| {
                ArchiveRecord { pinned: *pin, ..archive(&format!("x-{number}-1"), *day, *size) }
            }).collect();
            let (rules, nobody) = (rules(days, most), BTreeSet::new());
            let first = judge(&archives, &nobody, &rules, now);
            let goes = |archive: &ArchiveRecord| first.removals.iter().any(|(id, _)| *id == archive.id);
            let left: Vec<ArchiveRecord> = archives.iter().filter(|it| !goes(it)).cloned().collect();
            prop_assert!(archives.iter().all(|archive| !(archive.pinned && goes(archive))));
            let second = judge(&left, &nobody, &rules, now);
            prop_assert_eq!(&second.removals, &Vec::new());
            prop_assert_eq!(second.excess_bytes, first.excess_bytes);
            let sum: u64 = left.iter().map(|archive| archive.size_bytes).sum();
            prop_assert!(most.is_none_or(|most| sum <= most || left.iter().all(|archive| archive.pinned)));
            // Putting the last one back that went for the sum breaks the sum: none went that could have stayed.
            if let Some((id, RemovalReason::OverBudget)) = first.removals.last() {
                let back = archives.iter().find(|archive| archive.id == *id).map_or(0, |archive| archive.size_bytes);
                prop_assert!(most.is_some_and(|most| sum + back > most));
            }
        }
    }
}
