//! `[proxy.timeouts]`, `[proxy.limits]`: what clients and containers may take.

use std::time::Duration;

use super::reader::Section;

/// Nobody waits longer for a single step, and no time here is shorter than a second.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Bytes of a request's head, unless it is said otherwise; the least and the most that may be said.
const HEADER_SIZE: u32 = 64 * 1024;
const LEAST_HEADER_SIZE: u32 = 8 * 1024;
const MOST_HEADER_SIZE: u32 = 1024 * 1024;

/// `[proxy.timeouts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyTimeouts {
    pub header: Duration,
    pub idle: Duration,
    pub connect: Duration,
    /// None: a container may take as long as it likes.
    pub upstream: Option<Duration>,
    pub drain: Duration,
}

/// `[proxy.limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyLimits {
    /// None: as many as file descriptors allow.
    pub connections: Option<u64>,
    /// None: as many as there is room for.
    pub connections_per_address: Option<u64>,
    pub streams: u32,
    /// Bytes of a request's head.
    pub header_size: u32,
}

impl ProxyTimeouts {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut time = |key: &'static str, default: u64| {
            let given = section.duration(key);
            if given.is_some_and(|time| time < Duration::from_secs(1) || time > LONGEST) {
                section.fault(key, "must be between 1s and 1h");
            }
            given.unwrap_or(Duration::from_secs(default))
        };
        let (header, idle, connect) = (time("header", 10), time("idle", 60), time("connect", 3));
        let drain = section.duration("drain").unwrap_or(Duration::from_secs(2));
        if drain > LONGEST {
            section.fault("drain", "must be 1h at most");
        }
        let upstream = section.unless("upstream", "unlimited", Section::duration).flatten();
        if upstream.is_some_and(|time| time < Duration::from_secs(1) || time > LONGEST) {
            section.fault("upstream", "must be between 1s and 1h, or \"unlimited\"");
        }
        section.finish();
        Self { header, idle, connect, upstream, drain }
    }
}

impl ProxyLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut number = |key: &'static str| {
            let given = section.unless(key, "unlimited", Section::number).flatten();
            if given == Some(0) {
                section.fault(key, "must be 1 at least, or \"unlimited\"");
            }
            given
        };
        let (connections, connections_per_address) =
            (number("connections"), number("connections_per_address"));
        let streams = section.number("streams").unwrap_or(256);
        let streams = u32::try_from(streams).ok().filter(|streams| (1..=65_536).contains(streams));
        if streams.is_none() {
            section.fault("streams", "must be from 1 to 65536");
        }
        let header_size = section.size("header_size").map(u32::try_from);
        let header_size = header_size.unwrap_or(Ok(HEADER_SIZE)).ok();
        let header_size = header_size.filter(|size| (LEAST_HEADER_SIZE..=MOST_HEADER_SIZE).contains(size));
        if header_size.is_none() {
            section.fault("header_size", "must be from 8KiB to 1MiB");
        }
        section.finish();
        let (streams, header_size) = (streams.unwrap_or(256), header_size.unwrap_or(HEADER_SIZE));
        Self { connections, connections_per_address, streams, header_size }
    }
}
