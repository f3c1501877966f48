//! What the configuration says of times, numbers and trust, and may say anew while the proxy runs.

use std::time::Duration;

use crate::domain::network::Network;

/// `proxy.timeouts`, `proxy.limits`, `proxy.trusted_proxies`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long a client may take for the head of a request, from its first byte.
    pub header: Duration,
    /// A connection without a request is closed when it was idle for so long, at the latest.
    pub idle: Duration,
    /// How long a container may take to take a connection, the TLS handshake included.
    pub connect: Duration,
    /// How long it may take for the head of an answer; none: as long as it likes.
    pub upstream: Option<Duration>,
    /// How long tunnels may go on when the daemon ends.
    pub drain: Duration,
    /// Connections at once, over both listeners; none: as many as file descriptors allow. Counts from the start on.
    pub connections: Option<usize>,
    /// Connections at once from one address; none: no more is asked than that there is room.
    pub connections_per_address: Option<usize>,
    /// Streams at once over one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of a request's head, 8 KiB at least.
    pub header_bytes: u32,
    /// Peers whose word on the client is passed on.
    pub trusted_proxies: Vec<Network>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            connect: Duration::from_secs(3),
            upstream: None,
            drain: Duration::from_secs(2),
            connections: None,
            connections_per_address: None,
            streams: 256,
            header_bytes: 64 * 1024,
            trusted_proxies: Vec::new(),
        }
    }
}
