//! The bounds in force.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::bounds::Bounds;
use super::limits::Limits;
use crate::domain::network::Network;

/// Read for each connection and each request, replaced as a whole.
pub(super) struct InForce {
    limits: ArcSwap<Limits>,
    /// All of `believed` together.
    trusted: ArcSwap<Vec<Network>>,
    believed: Mutex<Believed>,
}

/// Whose word on the client counts.
#[derive(Default)]
struct Believed {
    configured: Vec<Network>,
    /// The proxy that stands in front, wherever it is just now.
    in_front: Vec<Network>,
}

impl InForce {
    pub(super) fn new(limits: Limits, trusted: Vec<Network>) -> Self {
        let believed = Believed { configured: trusted.clone(), ..Believed::default() };
        Self {
            limits: ArcSwap::from_pointee(limits),
            trusted: ArcSwap::from_pointee(trusted),
            believed: Mutex::new(believed),
        }
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
        self.believe(|believed| believed.configured.clone_from(&bounds.trusted_proxies));
    }

    /// The proxy in front comes from there now.
    pub(super) fn stands_in_front(&self, networks: Vec<Network>) {
        self.believe(|believed| believed.in_front = networks);
    }

    fn believe(&self, change: impl FnOnce(&mut Believed)) {
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut believed);
        self.trusted.store(Arc::new([&believed.configured[..], &believed.in_front[..]].concat()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_in_front_is_believed_where_it_is_now_beside_those_that_are_configured() {
        let network = |text: &str| Network::parse(text).unwrap();
        let bounds = Bounds { trusted_proxies: vec![network("127.0.0.0/8")], ..Bounds::default() };
        let in_force = InForce::new(Limits::of(&bounds), bounds.trusted_proxies.clone());
        let believes = |text: &str| in_force.trusting(text.parse().unwrap()).is_some();
        assert!(believes("127.0.0.1") && !believes("172.30.0.2"));
        in_force.stands_in_front(vec![network("172.30.0.2")]);
        assert!(believes("127.0.0.1") && believes("172.30.0.2") && !believes("172.30.0.3"));
        in_force.replace(&Bounds { trusted_proxies: Vec::new(), ..bounds });
        assert!(!believes("127.0.0.1") && believes("172.30.0.2"));
        in_force.stands_in_front(Vec::new());
        assert!(!believes("172.30.0.2"));
    }
}
