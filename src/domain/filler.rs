//! Which environment fills a disk. Pure.

use std::collections::BTreeMap;

use super::names::EnvironmentId;

/// Less growth than this between two looks fills no disk.
const LEAST: u64 = 64 << 20;

/// The environment that grew most from one look to the next, and by how many bytes: only when that is at least half of what
/// all grew, so that nobody is blamed for what many do.
pub fn filler(
    before: &BTreeMap<EnvironmentId, u64>,
    now: &BTreeMap<EnvironmentId, u64>,
) -> Option<(EnvironmentId, u64)> {
    // One that was not there before began at nothing.
    let growth =
        now.iter().map(|(id, bytes)| (*id, bytes.saturating_sub(before.get(id).copied().unwrap_or(0))));
    let growth: Vec<(EnvironmentId, u64)> = growth.collect();
    let all: u64 = growth.iter().map(|(_, bytes)| bytes).sum();
    let (id, most) = growth.into_iter().max_by_key(|(_, bytes)| *bytes)?;
    (most >= LEAST && most >= all - most).then_some((id, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(sizes: &[(i64, u64)]) -> BTreeMap<EnvironmentId, u64> {
        sizes.iter().map(|(id, mib)| (EnvironmentId(*id), mib << 20)).collect()
    }

    #[test]
    fn whoever_grows_most_is_found_and_nobody_is_blamed_for_what_many_do() {
        let of = |before: &[_], now: &[_]| {
            filler(&sizes(before), &sizes(now)).map(|(id, bytes)| (id.0, bytes >> 20))
        };
        assert_eq!(of(&[(1, 900), (2, 10)], &[(1, 905), (2, 210)]), Some((2, 200)));
        assert_eq!(of(&[(1, 900)], &[(1, 900), (2, 100)]), Some((2, 100)), "one that is new");
        assert_eq!(of(&[(1, 0), (2, 0), (3, 0)], &[(1, 100), (2, 110), (3, 90)]), None, "many do");
        assert_eq!(of(&[(1, 0)], &[(1, 63)]), None, "too little");
        assert_eq!(of(&[(1, 900)], &[(1, 100)]), None, "it shrinks");
        assert_eq!(of(&[], &[]), None);
    }
}
