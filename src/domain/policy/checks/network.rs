//! Networks, names and ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::super::inspection::{Inspection, Place};
use super::super::rule::Rule;
use super::super::table::Row;
use super::{items, pairs, scalar_text, shown};

/// Networks of a branch are bridges; a Swarm file's `overlay` is made one.
pub(super) fn driver(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    match value.as_str() {
        Some("bridge") => {}
        Some("overlay") => {
            inspection.set(
                place,
                Rule::NetworkDriver,
                "an overlay network becomes a bridge here",
                json!("bridge"),
            );
        }
        _ => {
            inspection.reject(place, row, &format!("the driver {} reaches the host's network", shown(value)));
        }
    }
}

/// The one option that touches nothing but the branch's own network.
pub(super) fn driver_options(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (name, value) in pairs(value) {
        let place = place.child(&name);
        let number = value.and_then(|value| value.parse::<u32>().ok());
        if name != "com.docker.network.driver.mtu" {
            inspection.reject(&place, row, "this option can reach into the host's network");
        } else if !number.is_some_and(|number| (576..=9216).contains(&number)) {
            inspection.reject(&place, row, "the size must be a number from 576 to 9216");
        }
    }
}

pub(super) fn resolvers(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    if inspection.permissions.allows("dns") {
        return;
    }
    for (index, item) in items(value).into_iter().enumerate() {
        let address = item.as_str().and_then(|text| text.parse::<IpAddr>().ok());
        if !address.is_some_and(is_public) {
            inspection.reject(&place.item(index), row, &format!("{} is not a public resolver", shown(item)));
        }
    }
}

pub(super) fn resolver_options(inspection: &mut Inspection<'_>, place: &Place, row: &Row) {
    if !inspection.permissions.allows("dns") {
        inspection.neutralise(place, row, "names are resolved as the engine does");
    }
}

/// Names for addresses: only addresses that the operator granted, and never the host's own or a metadata service's.
pub(super) fn extra_hosts(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (name, address) in hosts(value) {
        let place = place.child(&name);
        let parsed = address.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let granted = parsed.is_some_and(|ip| {
            inspection.permissions.allows(&format!("extra-host:{ip}")) && !is_never_granted(ip)
        });
        if !granted {
            let reason = format!("{} is an address outside the branch", shown(&Value::String(address)));
            inspection.reject(&place, row, &reason);
        }
    }
}

/// Compose renders `name=address`; a map and the older `name:address` mean the same.
fn hosts(value: &Value) -> Vec<(String, String)> {
    let split = |(name, address): (String, Option<String>)| match address {
        Some(address) => (name, address),
        None => match name.split_once(':') {
            Some((name, address)) => (name.to_owned(), address.to_owned()),
            None => (name, String::new()),
        },
    };
    pairs(value).into_iter().map(split).collect()
}

pub(super) fn links(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (index, item) in items(value).into_iter().enumerate() {
        let text = scalar_text(item).unwrap_or_default();
        let service = text.split(':').next().unwrap_or_default();
        if !inspection.declares("services", service) {
            inspection.reject(
                &place.item(index),
                row,
                &format!("{} is not a service of this file", shown(item)),
            );
        }
    }
}

/// Compose renders `ingress` for every port; only `host` was written by the author.
pub(super) fn port_mode(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    if value.as_str() == Some("ingress") {
        inspection.drop_silently(place);
    } else {
        inspection.neutralise(place, row, "no port of the host is taken");
    }
}

fn is_never_granted(address: IpAddr) -> bool {
    let special_v4 = |ip: Ipv4Addr| {
        ip.is_loopback()
            || ip.is_link_local()
            || ip.is_unspecified()
            || ip.is_multicast()
            || ip.is_broadcast()
    };
    match address {
        IpAddr::V4(ip) => special_v4(ip),
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unicast_link_local()
                || ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || ip.to_ipv4_mapped().is_some()
        }
    }
}

/// Reachable by anybody in the world: not private, shared, reserved, local or for documentation.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(is_never_granted(address) || ip.is_private() || ip.is_documentation())
                && a != 0
                && a < 240
                && !(a == 100 && (64..128).contains(&b))
                && !(a == 192 && b == 0 && c == 0)
                && !(a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            (0x2000..0x4000).contains(&a) && a != 0x2002 && !(a == 0x2001 && (b < 0x200 || b == 0xdb8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_told_from_near_ones() {
        for near in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "192.168.1.1",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:8.8.8.8",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "255.255.255.255",
        ] {
            assert!(!is_public(near.parse().unwrap()), "{near}");
        }
        for public in ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2001:4860:4860::8888"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
