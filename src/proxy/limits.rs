//! The times and numbers that bound what clients may take, together where their relation can be seen.

use std::time::Duration;

use super::bounds::Bounds;
use crate::supervisor::descriptors;

/// Connections at once over both listeners, where file descriptors allow them.
const MOST_CONNECTIONS: usize = 16_384;

/// A visitor's connection has one to a container behind it.
const DESCRIPTORS_EACH: u64 = 2;
/// Descriptors kept free for git, `SQLite`, the engine and idle connections to containers; of a low limit, half.
const DESCRIPTORS_KEPT: u64 = 1024;

/// Less than this hyper does not take.
const LEAST_HEADER_BYTES: u32 = 8192;

/// A proxy's bounds. Tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// How long a client may take for the head of a request, from its first byte.
    pub(super) head: Duration,
    /// A connection without an open request is closed after one to two of these.
    pub(super) idle_tick: Duration,
    /// How long a container may take to take a connection.
    pub(super) connect: Duration,
    /// How long a container may take for the head of an answer; none: as long as it likes.
    pub(super) upstream: Option<Duration>,
    /// How long tunnels may go on when the daemon drains.
    pub(super) tunnel_grace: Duration,
    /// Connections at once, over both listeners.
    pub(super) connections: usize,
    /// The same from one address.
    pub(super) per_address: Option<usize>,
    /// Streams at once over one HTTP/2 connection.
    pub(super) streams: u32,
    /// Bytes of a request's head.
    pub(super) header_bytes: u32,
}

impl Limits {
    /// What is kept of an HTTP/1 connection: the head of a request has to fit into it.
    pub(super) fn head_room(&self) -> usize {
        usize::try_from(self.header_bytes).unwrap_or(usize::MAX)
    }

    #[cfg(test)]
    pub(super) fn new() -> Self {
        Self::of(&Bounds::default())
    }

    pub(super) fn of(bounds: &Bounds) -> Self {
        let most = connections(descriptors::limit());
        Self {
            head: bounds.header,
            idle_tick: bounds.idle / 2,
            connect: bounds.connect,
            upstream: bounds.upstream,
            tunnel_grace: bounds.drain,
            connections: bounds.connections.map_or(most, |wanted| wanted.clamp(1, most)),
            per_address: bounds.connections_per_address,
            streams: bounds.streams,
            header_bytes: bounds.header_bytes.max(LEAST_HEADER_BYTES),
        }
    }
}

/// How many connections so many file descriptors allow: beyond it clients wait in the kernel's queue.
fn connections(descriptors: u64) -> usize {
    let kept = DESCRIPTORS_KEPT.min(descriptors / 2);
    let allowed = (descriptors - kept) / DESCRIPTORS_EACH;
    usize::try_from(allowed).map_or(MOST_CONNECTIONS, |allowed| allowed.clamp(1, MOST_CONNECTIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(connections(1024), 256);
        assert_eq!(connections(4096), 1536);
        assert_eq!(connections(65_536), MOST_CONNECTIONS);
        assert_eq!(connections(u64::MAX), MOST_CONNECTIONS);
        assert_eq!(connections(0), 1);
    }
}
