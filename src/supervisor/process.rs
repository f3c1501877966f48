//! What the daemon itself takes of the machine, as Linux tells it in `/proc/self`.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};

use super::descriptors;

/// Figures of this process, without its children.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    pub resident_bytes: f64,
    pub open_descriptors: f64,
    pub descriptor_limit: f64,
    /// In the kernel and out of it.
    pub cpu_seconds: f64,
    /// Seconds since the Unix epoch.
    pub started_at: f64,
}

impl ProcessFigures {
    /// As they are now; `None` where `/proc` does not tell.
    #[expect(clippy::cast_precision_loss, reason = "figures for people and graphs")]
    pub fn read() -> Option<Self> {
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let ticks = clock_ticks_per_second() as f64;
        Some(Self {
            resident_bytes: stat.resident_pages * page_size() as f64,
            open_descriptors: fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            descriptor_limit: descriptors::limit() as f64,
            cpu_seconds: stat.cpu_ticks / ticks,
            started_at: booted + stat.start_ticks / ticks,
        })
    }
}

/// Of `/proc/self/stat`, see proc(5).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
    resident_pages: f64,
}

impl Stat {
    /// The second field is the program's name in parentheses, and may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // The first here is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self { cpu_ticks: field(14)? + field(15)?, start_ticks: field(22)?, resident_pages: field(24)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let text = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 9000 1000000 256 18446744073709551615";
        let expected = Stat { cpu_ticks: 200.0, start_ticks: 9000.0, resident_pages: 256.0 };
        assert_eq!(Stat::parse(text), Some(expected));
    }

    #[test]
    fn this_process_has_figures() {
        let figures = ProcessFigures::read().unwrap();
        assert!(figures.resident_bytes > 1e6 && figures.open_descriptors >= 3.0, "{figures:?}");
        assert!(
            figures.started_at > 1.7e9 && figures.descriptor_limit >= figures.open_descriptors,
            "{figures:?}"
        );
    }
}
