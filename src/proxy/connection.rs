//! What is known of one client's connection for all its requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::seats::Seat;
use crate::domain::network::Network;

/// How long a connection may take for its first request when the daemon ends.
const FIRST_REQUEST_LIMIT: Duration = Duration::from_secs(1);
const FIRST_REQUEST_TICK: Duration = Duration::from_millis(20);

/// Shared by the requests of one connection.
#[derive(Debug)]
pub(super) struct ConnectionInfo {
    /// The client's address: for `X-Forwarded-For` and `X-Real-IP`.
    pub(super) address: HeaderValue,
    /// The same as a node of `Forwarded` (RFC 7239, 6): IPv6 in brackets and quotes.
    pub(super) forwarded_node: String,
    pub(super) is_secure: bool,
    pub(super) peer: IpAddr,
    /// Those networks whose word is believed, where the peer is in one of them.
    pub(super) trusted: Option<Arc<Vec<Network>>>,
    open: AtomicUsize,
    answered: AtomicU64,
    tunnel: AtomicBool,
    /// Of its handshake; 0 is the common one.
    policy: AtomicU64,
    /// Its place under the limit of connections; a tunnel keeps it.
    _permit: OwnedSemaphorePermit,
    /// Its place among those of its address, where they are counted.
    _seat: Option<Seat>,
}

impl ConnectionInfo {
    pub(super) fn new(peer: SocketAddr, is_secure: bool, permit: OwnedSemaphorePermit) -> Self {
        let ip = peer.ip().to_canonical();
        let forwarded_node = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        Self {
            address: HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown")),
            forwarded_node,
            is_secure,
            peer: ip,
            trusted: None,
            open: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            tunnel: AtomicBool::new(false),
            policy: AtomicU64::new(0),
            _permit: permit,
            _seat: None,
        }
    }

    /// The peer is a proxy in these networks.
    #[must_use]
    pub(super) fn trusted(mut self, networks: Option<Arc<Vec<Network>>>) -> Self {
        self.trusted = networks;
        self
    }

    #[must_use]
    pub(super) fn seated(mut self, seat: Option<Seat>) -> Self {
        self._seat = seat;
        self
    }

    /// Counts a request as open until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> OpenRequest {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenRequest(self.clone())
    }

    /// What its handshake asked of the client.
    pub(super) fn set_policy(&self, id: u64) {
        self.policy.store(id, Ordering::Relaxed);
    }

    pub(super) fn policy(&self) -> u64 {
        self.policy.load(Ordering::Relaxed)
    }

    /// From now on the bytes are no longer HTTP.
    pub(super) fn become_tunnel(&self) {
        self.tunnel.store(true, Ordering::Release);
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Acquire)
    }

    /// Returns when there was a request, or none came in time: whoever was accepted just before the end is answered.
    pub(super) async fn first_request(&self) {
        let had_one = || self.open.load(Ordering::Relaxed) > 0 || self.answered.load(Ordering::Relaxed) > 0;
        let until = Instant::now() + FIRST_REQUEST_LIMIT;
        while !had_one() && Instant::now() < until {
            tokio::time::sleep(FIRST_REQUEST_TICK).await;
        }
    }

    /// Returns when nobody asked for anything during a whole tick.
    pub(super) async fn idle(&self, tick: Duration) {
        let mut before = u64::MAX;
        loop {
            tokio::time::sleep(tick).await;
            let answered = self.answered.load(Ordering::Relaxed);
            if answered == before && self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
            before = answered;
        }
    }
}

/// A request whose answer was not yet sent to its end.
#[derive(Debug)]
pub(super) struct OpenRequest(Arc<ConnectionInfo>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
