//! What several pages show in the same way: who is signed in, how something stands, times, sizes.

use serde::Serialize;

use crate::domain::environment::Phase;
use crate::domain::time::Timestamp;

use super::guard::SignedIn;

/// Who is signed in, with what their forms need.
#[derive(Serialize)]
pub(super) struct Who {
    name: String,
    role: &'static str,
    key: String,
}

impl SignedIn {
    pub(super) fn who(&self) -> Who {
        let (name, role) = (self.token.name.to_string(), self.token.role.word());
        Who { name, role, key: self.id.form_key() }
    }
}

/// The class that colours how it stands, as on the gate's pages.
pub(super) const fn tone(phase: Phase) -> &'static str {
    match phase {
        Phase::Failed | Phase::Blocked => "broken",
        Phase::Asleep | Phase::Archiving | Phase::Archived | Phase::Destroying | Phase::Destroyed => "still",
        Phase::Queued
        | Phase::Preparing
        | Phase::Building
        | Phase::Starting
        | Phase::Ready
        | Phase::Updating
        | Phase::Waking => "passing",
    }
}

/// To the minute, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        (_, _) => text,
    }
}

/// In the largest unit of which there is at least one.
pub(super) fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < units.len() {
        (tenths, unit) = (tenths / 1000, unit + 1);
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if tenths < 1000 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_for_people() {
        assert_eq!(moment(Timestamp::from_millis(1_780_000_000_000)), "2026-05-28 20:26 UTC");
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_345, "12.3 kB"),
            (345_678, "345 kB"),
            (1_500_000, "1.5 MB"),
            (5_000_000_000, "5.0 GB"),
            (7_000_000_000_000_000, "7000 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
