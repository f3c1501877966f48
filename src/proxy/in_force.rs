//! The bounds in force.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::bounds::Bounds;
use super::limits::Limits;
use crate::domain::network::Network;

/// Read for each connection and each request, replaced as a whole.
pub(super) struct InForce {
    limits: ArcSwap<Limits>,
    trusted: ArcSwap<Vec<Network>>,
}

impl InForce {
    pub(super) fn new(limits: Limits, trusted: Vec<Network>) -> Self {
        Self { limits: ArcSwap::from_pointee(limits), trusted: ArcSwap::from_pointee(trusted) }
    }

    pub(super) fn limits(&self) -> Limits {
        **self.limits.load()
    }

    /// The trusted networks, where the peer is in one of them.
    pub(super) fn trusting(&self, peer: IpAddr) -> Option<Arc<Vec<Network>>> {
        let trusted = self.trusted.load();
        trusted.iter().any(|network| network.contains(peer)).then(|| trusted.clone())
    }

    /// From now on for new connections and requests.
    pub(super) fn replace(&self, bounds: &Bounds) {
        let connections = self.limits().connections;
        self.limits.store(Arc::new(Limits { connections, ..Limits::of(bounds) }));
        self.trusted.store(Arc::new(bounds.trusted_proxies.clone()));
    }
}
