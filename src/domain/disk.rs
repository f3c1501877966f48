//! How full disks are, and what follows. Pure.

use std::fmt;

/// What follows from how full a disk is; each level brings what those before it bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    #[default]
    Ok,
    /// It is told.
    Warn,
    /// Nothing is checked out, built or pulled any more.
    Stop,
    /// What can be done without goes.
    Evict,
}

impl Level {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Stop => "stop",
            Self::Evict => "evict",
        }
    }
}

/// From how many percent on a level begins; none: it never does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    pub warn: Option<u8>,
    pub stop: Option<u8>,
    pub evict: Option<u8>,
}

/// A level ends so many percent below where it begins, so that a disk at the border does not go to and fro.
const SLACK: u8 = 2;

impl Watermarks {
    /// Which level a disk is at that was at `before`.
    pub fn level(&self, used_percent: u8, before: Level) -> Level {
        let reaches = |level: Level| {
            let mark = if before >= level { self.end(level) } else { self.begin(level) };
            mark.is_some_and(|mark| used_percent >= mark)
        };
        [Level::Evict, Level::Stop, Level::Warn].into_iter().find(|level| reaches(*level)).unwrap_or_default()
    }

    const fn begin(&self, level: Level) -> Option<u8> {
        match level {
            Level::Ok => None,
            Level::Warn => self.warn,
            Level::Stop => self.stop,
            Level::Evict => self.evict,
        }
    }

    /// A disk below it has left the level.
    fn end(&self, level: Level) -> Option<u8> {
        self.begin(level).map(|mark| mark.saturating_sub(SLACK).max(1))
    }
}

/// A file system as it was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// A folder on it that drey or the engine cannot do without.
    pub path: String,
    /// The data directory is on it.
    pub has_data: bool,
    /// As `df` has it: of what users other than root may have, rounded up.
    pub used_percent: u8,
    /// It is not the bytes but the number of files that is used up so far.
    pub by_files: bool,
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// Blocks or files of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub total: u64,
    pub free: u64,
    /// Of the free ones, what others than root may have.
    pub available: u64,
}

impl Counts {
    /// None where the file system does not count them.
    fn used_percent(self) -> Option<u8> {
        let used = self.total.saturating_sub(self.free);
        let all = used.checked_add(self.available).filter(|all| *all > 0)?;
        u8::try_from(u128::from(used).saturating_mul(100).div_ceil(u128::from(all))).ok()
    }
}

impl Disk {
    pub fn new(path: String, has_data: bool, blocks: Counts, block_size: u64, files: Counts) -> Self {
        let by_blocks = blocks.used_percent().unwrap_or(0);
        let of_files = files.used_percent().unwrap_or(0);
        Self {
            path,
            has_data,
            used_percent: by_blocks.max(of_files),
            by_files: of_files > by_blocks,
            free_bytes: blocks.available.saturating_mul(block_size),
            total_bytes: blocks.total.saturating_mul(block_size),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, used_percent, .. } = self;
        if self.by_files {
            return write!(f, "the disk of {path} has {used_percent} % of its files (inodes) in use");
        }
        write!(f, "the disk of {path} is {used_percent} % full")
    }
}

/// All disks that matter, each with its level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disks {
    pub disks: Vec<(Disk, Level)>,
    marks: Watermarks,
}

impl Disks {
    /// As they are now. What each was before counts: levels do not flap.
    #[must_use]
    pub fn measured(&self, disks: Vec<Disk>, marks: Watermarks) -> Self {
        let level = |disk: &Disk| marks.level(disk.used_percent, self.level_of(&disk.path));
        let disks = disks.into_iter().map(|disk| (level(&disk), disk)).map(|(level, disk)| (disk, level));
        Self { disks: disks.collect(), marks }
    }

    /// That of the fullest.
    pub fn level(&self) -> Level {
        self.disks.iter().map(|(_, level)| *level).max().unwrap_or_default()
    }

    fn level_of(&self, path: &str) -> Level {
        self.disks.iter().find(|(disk, _)| disk.path == path).map(|(_, level)| *level).unwrap_or_default()
    }

    /// Why nothing is checked out, built or pulled now; none when it may be.
    pub fn why_wait(&self) -> Option<String> {
        let (disk, _) = self.fullest().filter(|(_, level)| *level >= Level::Stop)?;
        let (end, begin) = (self.marks.end(Level::Stop)?, self.marks.stop?);
        Some(format!("{disk}; builds wait until it is below {end} % ([disk] stop = {begin})"))
    }

    /// What to say about each disk whose level is another one than before.
    pub fn news(&self, before: &Self) -> Vec<(Level, String)> {
        let changed = self.disks.iter().filter(|(disk, level)| before.level_of(&disk.path) != *level);
        changed.map(|(disk, level)| (*level, format!("{disk}{}", self.consequence(*level)))).collect()
    }

    fn consequence(&self, level: Level) -> String {
        let end = self.marks.end(level).unwrap_or(0);
        match level {
            Level::Ok => " now: there is room".to_owned(),
            Level::Warn => format!(": make room on it ([disk] warn, until it is below {end} %)"),
            Level::Stop => format!(
                ": nothing is checked out, built or pulled until it is below {end} % ([disk] stop); what runs goes on"
            ),
            Level::Evict => {
                format!(": what can be done without is removed until it is below {end} % ([disk] evict)")
            }
        }
    }

    fn fullest(&self) -> Option<&(Disk, Level)> {
        self.disks.iter().max_by_key(|(disk, level)| (*level, disk.used_percent))
    }

    /// The fullest disk that is at the highest level.
    pub fn to_evict_from(&self) -> Option<&Disk> {
        self.fullest().filter(|(_, level)| *level == Level::Evict).map(|(disk, _)| disk)
    }

    /// Bytes that are free for the data directory; none where that was not measured.
    pub fn free_for_data(&self) -> Option<u64> {
        self.disks.iter().find(|(disk, _)| disk.has_data).map(|(disk, _)| disk.free_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Watermarks = Watermarks { warn: Some(80), stop: Some(90), evict: Some(95) };

    fn disk(path: &str, used_percent: u8) -> Disk {
        Disk {
            path: path.to_owned(),
            has_data: path == "/data",
            used_percent,
            by_files: false,
            free_bytes: 1000,
            total_bytes: 10_000,
        }
    }

    #[test]
    fn a_level_begins_at_its_mark_and_ends_a_little_below() {
        let mut level = Level::Ok;
        let mut seen = Vec::new();
        for used in [79, 80, 79, 78, 77, 90, 89, 88, 87, 95, 94, 92, 100, 10] {
            level = MARKS.level(used, level);
            seen.push(level.word());
        }
        let expected = [
            "ok", "warn", "warn", "warn", "ok", "stop", "stop", "stop", "warn", "evict", "evict", "stop",
            "evict", "ok",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn marks_that_are_off_are_never_reached() {
        let off = Watermarks::default();
        assert_eq!(off.level(100, Level::Evict), Level::Ok);
        let stop_only = Watermarks { stop: Some(90), ..off };
        assert_eq!(stop_only.level(89, Level::Ok), Level::Ok);
        assert_eq!(stop_only.level(100, Level::Ok), Level::Stop);
    }

    #[test]
    fn percent_are_those_of_df() {
        let counts = |total, free, available| Counts { total, free, available };
        let used = |blocks| Disk::new("/".into(), true, blocks, 4096, counts(0, 0, 0)).used_percent;
        assert_eq!(used(counts(1000, 150, 100)), 90, "850 of 950, rounded up");
        assert_eq!(used(counts(0, 0, 0)), 0);
        assert_eq!(used(counts(u64::MAX, 0, 0)), 100);
        let by_files = Disk::new("/x".into(), true, counts(100, 90, 90), 4096, counts(100, 1, 1));
        assert_eq!(by_files.to_string(), "the disk of /x has 99 % of its files (inodes) in use");
        assert_eq!((by_files.free_bytes, by_files.total_bytes), (90 * 4096, 100 * 4096));
    }

    #[test]
    fn whoever_waits_learns_for_what() {
        let start = Disks::default();
        let calm = start.measured(vec![disk("/data", 50), disk("/engine", 70)], MARKS);
        assert_eq!((calm.level(), calm.why_wait(), calm.news(&start)), (Level::Ok, None, Vec::new()));
        let full = calm.measured(vec![disk("/data", 81), disk("/engine", 92)], MARKS);
        assert_eq!(
            full.why_wait().unwrap(),
            "the disk of /engine is 92 % full; builds wait until it is below 88 % ([disk] stop = 90)"
        );
        let news: Vec<Level> = full.news(&calm).into_iter().map(|(level, _)| level).collect();
        assert_eq!(news, [Level::Warn, Level::Stop]);
        let again = full.measured(vec![disk("/data", 81), disk("/engine", 89)], MARKS);
        assert!(again.why_wait().is_some() && again.news(&full).is_empty());
        let free = again.measured(vec![disk("/data", 81), disk("/engine", 87)], MARKS);
        assert_eq!((free.why_wait(), free.level()), (None, Level::Warn));
        let worst = free.measured(vec![disk("/data", 99), disk("/engine", 96)], MARKS);
        assert_eq!(worst.to_evict_from().unwrap().path, "/data");
        assert_eq!(worst.free_for_data(), Some(1000));
    }
}
