//! Under which address a container is reached, and on which port.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Outsider;

const PROJECT: &str = "com.docker.compose.project";
/// Of several ports the first of these that is there, as with the services of a branch.
const PREFERRED: [u16; 5] = [80, 8080, 8000, 3000, 5000];

/// Where this port of it is reached.
pub(super) fn address(container: &Outsider, network: Option<&str>, port: u16) -> Result<SocketAddr, String> {
    match container.published.get(&port) {
        Some(address) => Ok(*address),
        None if container.is_elsewhere => Err(format!(
            "it runs on another node, which publishes no port for its port {port}: publish one, best with mode=host"
        )),
        None => Ok(SocketAddr::new(of_network(container, network)?, port)),
    }
}

/// The network that is asked for, else the only one; never one by chance.
fn of_network(container: &Outsider, asked: Option<&str>) -> Result<IpAddr, String> {
    if container.is_on_host {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let names = || container.addresses.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(asked) = asked {
        let of_project = container.labels.get(PROJECT).map(|project| format!("{project}_{asked}"));
        let found = container.addresses.get(asked);
        let found = found.or_else(|| container.addresses.get(of_project.as_deref()?));
        return found
            .copied()
            .ok_or_else(|| format!("{asked:?} is none of its networks; it has joined: {}", names()));
    }
    // Several networks may lead to it at the same address.
    let addresses: BTreeSet<&IpAddr> = container.addresses.values().collect();
    let mut addresses = addresses.into_iter();
    match (addresses.next(), addresses.next()) {
        (Some(only), None) => Ok(*only),
        (None, _) => Err("it has joined no network, so it cannot be reached; join one".to_owned()),
        (Some(_), Some(_)) => Err(format!(
            "it has joined several networks; name one of them with the label drey.network: {}",
            names()
        )),
    }
}

/// The port of a label, else the only one, else the most usual one.
pub(super) fn port(container: &Outsider, asked: Option<&str>) -> Result<u16, String> {
    if let Some(text) = asked {
        let number = text.trim().parse().ok().filter(|port| *port > 0);
        return number.ok_or_else(|| format!("{text:?} must be a port from 1 to 65535"));
    }
    let ports = &container.ports;
    if let [only] = ports.as_slice() {
        return Ok(*only);
    }
    if let Some(usual) = PREFERRED.into_iter().find(|port| ports.contains(port)) {
        return Ok(usual);
    }
    let names: Vec<String> = ports.iter().map(ToString::to_string).collect();
    Err(match names.is_empty() {
        true => "no port is known; put the label drey.port on the container".to_owned(),
        false => format!(
            "which port is meant is not known; put the label drey.port on the container: {}",
            names.join(", ")
        ),
    })
}
