//! `[disk]` and `[gc]`: how full a disk may get, and what goes because nothing needs it.

use std::time::Duration;

use super::reader::Section;
use crate::domain::disk::Watermarks;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What `warn`, `stop` and `evict` are when nothing is said, in percent.
const DEFAULT_MARKS: [u8; 3] = [80, 90, 95];
/// What `every` is when nothing is said.
const DEFAULT_EVERY: Duration = Duration::from_secs(60 * 60);
/// Shortest `every`: looking costs something too.
const SHORTEST_EVERY: Duration = Duration::from_secs(10);
/// What `build_cache` is when nothing is said.
const DEFAULT_BUILD_CACHE: u64 = 20_000_000_000;
/// What `build_cache_unused` is when nothing is said: whoever else builds on this engine keeps what they need.
const DEFAULT_BUILD_CACHE_UNUSED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What `logs_size` is when nothing is said.
const DEFAULT_LOGS_SIZE: u64 = 5_000_000_000;
/// What `logs_keep`, `deliveries_keep` and `mirrors_keep` are when nothing is said.
const DEFAULT_KEEP: Duration = DAY.saturating_mul(30);
/// A forge sends a delivery again for three days; whoever looks into it wants its body.
const SHORTEST_DELIVERIES: Duration = DAY.saturating_mul(7);

/// `[disk]`. A mark of 0 is none.
pub(super) fn read_watermarks(section: &mut Section<'_>) -> Watermarks {
    let [warn, stop, evict] = DEFAULT_MARKS;
    let marks = Watermarks {
        warn: percent(section, "warn", warn),
        stop: percent(section, "stop", stop),
        evict: percent(section, "evict", evict),
    };
    let on: Vec<u8> = [marks.warn, marks.stop, marks.evict].into_iter().flatten().collect();
    if !on.is_sorted() && !["warn", "stop", "evict"].iter().any(|key| section.has_fault(key)) {
        section.fault("stop", "warn <= stop <= evict is needed: a disk is told of before it stops anything");
    }
    section.finish();
    marks
}

fn percent(section: &mut Section<'_>, key: &'static str, default: u8) -> Option<u8> {
    let Some(given) = section.number(key) else { return Some(default) };
    match u8::try_from(given) {
        Ok(0) => None,
        Ok(percent) if percent <= 100 => Some(percent),
        Ok(_) | Err(_) => {
            section.fault(key, "must be in percent, 1 to 100, or 0: never");
            None
        }
    }
}

/// `[gc]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gc {
    /// How often.
    pub every: Duration,
    /// Bytes of the engine's build cache that stay; none: it is never touched.
    pub build_cache: Option<u64>,
    pub build_cache_unused: Duration,
    pub logs_keep: Option<Duration>,
    pub logs_size: Option<u64>,
    pub deliveries_keep: Option<Duration>,
    pub mirrors_keep: Option<Duration>,
}

impl Gc {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let every = section.duration("every").unwrap_or(DEFAULT_EVERY);
        if every < SHORTEST_EVERY {
            section.fault("every", "must be 10s or longer");
        }
        let mut keep = |key| section.unless(key, "forever", Section::duration).unwrap_or(Some(DEFAULT_KEEP));
        let (logs_keep, deliveries_keep, mirrors_keep) =
            (keep("logs_keep"), keep("deliveries_keep"), keep("mirrors_keep"));
        if deliveries_keep.is_some_and(|keep| keep < SHORTEST_DELIVERIES) {
            section.fault("deliveries_keep", "must be 7d or longer, or \"forever\"");
        }
        let mut size =
            |key, default| section.unless(key, "unlimited", Section::size).unwrap_or(Some(default));
        let (build_cache, logs_size) =
            (size("build_cache", DEFAULT_BUILD_CACHE), size("logs_size", DEFAULT_LOGS_SIZE));
        let unused = section.duration("build_cache_unused").unwrap_or(DEFAULT_BUILD_CACHE_UNUSED);
        section.finish();
        Self {
            every,
            build_cache,
            build_cache_unused: unused,
            logs_keep,
            logs_size,
            deliveries_keep,
            mirrors_keep,
        }
    }
}
