//! Containers that drey did not start, and the hosts that their labels ask for.
//!
//! Written once for all of them, so that the same containers always come to the same routes, whatever order they are in.

mod names;
mod places;
mod reach;
mod swarm;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::names::{EnvironmentId, Generation};
use super::path::PathPrefix;
use super::route::{Answer, PathRoute, Replica, Route, Upstream};
use super::visitors::Access;

pub use names::Allowed;
use places::Place;
pub use swarm::{Service, Swarm, Task};

/// What stands before the name of a container where an environment has `REPO/BRANCH`: no repository is called that.
const NAME: &str = "container:";

/// A container as it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outsider {
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub environment: BTreeMap<String, String>,
    pub hostname: Option<String>,
    /// Engine name of a network → its address there.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Ports of it that are reached elsewhere than at an address of its own.
    pub published: BTreeMap<u16, SocketAddr>,
    /// It runs on another node.
    pub is_elsewhere: bool,
    /// It lives in the network name space of the host.
    pub is_on_host: bool,
    /// TCP ports that its image or whoever started it names, in rising order.
    pub ports: Vec<u16>,
    /// It has no health check, or passes it.
    pub is_healthy: bool,
}

/// What came of looking at all containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Host → where it leads.
    pub routes: BTreeMap<String, Route>,
    pub places: Vec<FoundPlace>,
    pub faults: Vec<OutsiderFault>,
}

/// One place of one container, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FoundPlace {
    pub host: String,
    pub path: PathPrefix,
    pub container: String,
    /// `10.0.0.2:80`, `[fd00::2]:80`.
    pub address: String,
    pub is_healthy: bool,
}

/// Why something of a container is not routed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OutsiderFault {
    pub container: String,
    /// `labels.drey.port`.
    pub key: String,
    /// With the way out.
    pub reason: String,
}

/// Whose number is below zero is no environment's.
pub fn is_outside(environment: EnvironmentId) -> bool {
    environment.0 < 0
}

/// Reads the labels of all containers. Those at the same place share its requests, healthy ones first; the labels of the
/// first by name count for all of them.
pub fn judge(containers: &[Outsider], allowed: &Allowed) -> Found {
    let mut found = Found::default();
    let mut containers: Vec<&Outsider> = containers.iter().collect();
    containers.sort_by_key(|container| (&container.name, &container.id));
    let mut shared: BTreeMap<(String, PathPrefix), Vec<(&Outsider, Place)>> = BTreeMap::new();
    for container in containers {
        match places::of(container, allowed) {
            Ok((places, faults)) => {
                found.faults.extend(faults);
                for place in places {
                    found.places.push(shown(container, &place));
                    let key = (place.host.clone(), place.path.clone());
                    shared.entry(key).or_default().push((container, place));
                }
            }
            Err(fault) => found.faults.push(fault),
        }
    }
    for ((host, path), members) in shared {
        add(&mut found.routes, &host, path, members);
    }
    found.places.sort();
    found.faults.sort();
    found.faults.dedup();
    found
}

fn shown(container: &Outsider, place: &Place) -> FoundPlace {
    FoundPlace {
        host: place.host.clone(),
        path: place.path.clone(),
        container: container.name.clone(),
        address: place.address.to_string(),
        is_healthy: container.is_healthy,
    }
}

/// In the order of the paths: a host begins with its shortest one.
fn add(
    routes: &mut BTreeMap<String, Route>,
    host: &str,
    path: PathPrefix,
    mut members: Vec<(&Outsider, Place)>,
) {
    if members.iter().any(|(container, _)| container.is_healthy) {
        members.retain(|(container, _)| container.is_healthy);
    }
    let mut members = members.into_iter();
    let Some((first, place)) = members.next() else { return };
    let others =
        members.map(|(container, place)| Replica { address: place.address, container: container.id.clone() });
    let upstream = Upstream {
        others: others.collect(),
        balance: place.manner.balance,
        sticky: place.manner.sticky,
        timeout: place.manner.timeout_seconds.map(std::time::Duration::from_secs),
        tls: place.tls.clone(),
        ..Upstream::new(place.address, place.scheme, first.id.clone())
    };
    let answer = Answer::Proxy(upstream);
    let route = routes.entry(host.to_owned()).or_insert_with(|| Route {
        environment: number(host),
        generation: Generation(0),
        name: format!("{NAME}{}", first.name),
        service: first.name.clone(),
        access: Access::Open,
        answer: answer.clone(),
        paths: Vec::new(),
    });
    if !path.is_root() {
        let below = PathRoute { prefix: path, strip: place.strip, service: first.name.clone(), answer };
        route.paths.push(below);
        route.paths.sort_by_key(|path| std::cmp::Reverse(path.prefix.as_str().len()));
    }
}

/// The same for the same host as long as it lasts, and never an environment's.
fn number(host: &str) -> EnvironmentId {
    let digest = Sha256::digest(host.as_bytes());
    let bytes: [u8; 8] = std::array::from_fn(|place| digest.get(place).copied().unwrap_or_default());
    EnvironmentId(-1 - (i64::from_be_bytes(bytes) & (i64::MAX >> 1)))
}

#[cfg(test)]
mod tests;
