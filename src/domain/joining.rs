//! Which networks of environments a proxy in a container is on: those that its routes lead into, and no other. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::subnet::Subnet;

/// A network that this drey made for an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNetwork {
    pub id: String,
    pub name: String,
    pub subnets: Vec<Subnet>,
}

impl OwnNetwork {
    fn has(&self, address: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| contains(*subnet, address))
    }

    fn is_needed(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        addresses.iter().any(|address| self.has(*address))
    }
}

/// Networks that a container is on: name → id.
pub type Seats = BTreeMap<String, String>;

/// Those that are needed to reach the addresses, each with whether the container is on it.
pub fn needed<'a>(
    own: &'a [OwnNetwork],
    seats: &Seats,
    addresses: &BTreeSet<IpAddr>,
) -> Vec<(&'a OwnNetwork, bool)> {
    let is_on = |network: &OwnNetwork| seats.values().any(|id| *id == network.id);
    let needed = own.iter().filter(|network| network.is_needed(addresses));
    needed.map(|network| (network, is_on(network))).collect()
}

/// Names of those that it is on without need. Of networks that are gone only the name is left: it begins with `prefix` where it
/// was one of ours. Whatever else it is on is none of drey's.
pub fn needless(
    own: &[OwnNetwork],
    prefix: &str,
    seats: &Seats,
    addresses: &BTreeSet<IpAddr>,
) -> Vec<String> {
    let is_needless = |(name, id): &(&String, &String)| match own.iter().find(|network| network.id == **id) {
        Some(network) => !network.is_needed(addresses),
        None => name.starts_with(prefix),
    };
    seats.iter().filter(is_needless).map(|(name, _)| name.clone()).collect()
}

/// What a proxy reaches without the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    is_everything: bool,
    joined: Vec<Subnet>,
    refused: Vec<(Subnet, String)>,
}

/// Whether it reaches one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    Open,
    /// It should, and cannot: why.
    Refused(&'a str),
    /// It is in no network that it may join.
    Closed,
}

impl Reach {
    /// Of what runs on this machine, or on its network.
    pub fn everything() -> Self {
        Self { is_everything: true, ..Self::default() }
    }

    pub fn join(&mut self, network: &OwnNetwork) {
        self.joined.extend(&network.subnets);
    }

    pub fn refuse(&mut self, network: &OwnNetwork, why: &str) {
        self.refused.extend(network.subnets.iter().map(|subnet| (*subnet, why.to_owned())));
    }

    pub fn way(&self, address: IpAddr) -> Way<'_> {
        if self.is_everything || self.joined.iter().any(|subnet| contains(*subnet, address)) {
            return Way::Open;
        }
        let refused = self.refused.iter().find(|(subnet, _)| contains(*subnet, address));
        refused.map_or(Way::Closed, |(_, why)| Way::Refused(why))
    }
}

/// Networks that drey makes are IPv4.
fn contains(subnet: Subnet, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => subnet.contains(address),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(id: &str, subnet: &str) -> OwnNetwork {
        let subnets = vec![Subnet::parse(subnet).unwrap()];
        OwnNetwork { id: id.to_owned(), name: format!("drey-abc123-{id}_default"), subnets }
    }

    fn seats(pairs: &[(&str, &str)]) -> Seats {
        pairs.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect()
    }

    fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_networks_that_routes_lead_into_are_joined() {
        let own = [network("1", "10.213.0.0/27"), network("2", "10.213.0.32/27")];
        let edge = seats(&[("edge", "e")]);
        let wanted = addresses(&["10.213.0.40", "10.213.0.41", "172.17.0.2", "fd00::1"]);
        assert_eq!(needed(&own, &edge, &wanted), [(&own[1], false)]);
        let on = seats(&[("edge", "e"), ("drey-abc123-2_default", "2")]);
        assert_eq!(needed(&own, &on, &wanted), [(&own[1], true)]);
        assert!(needed(&own, &on, &addresses(&[])).is_empty());
    }

    #[test]
    fn what_is_not_needed_is_left_and_what_is_not_dreys_is_not() {
        let own = [network("1", "10.213.0.0/27"), network("2", "10.213.0.32/27")];
        let on = seats(&[
            ("edge", "e"),
            ("drey-abc123-1_default", "1"),
            ("drey-abc123-2_default", "2"),
            // One that is gone, and one of another drey.
            ("drey-abc123-3_default", "3"),
            ("drey-other1-1_default", "o"),
        ]);
        let left = needless(&own, "drey-abc123-", &on, &addresses(&["10.213.0.2"]));
        assert_eq!(left, ["drey-abc123-2_default", "drey-abc123-3_default"]);
    }

    #[test]
    fn the_way_to_an_address_is_open_refused_or_closed() {
        let mut reach = Reach::default();
        reach.join(&network("1", "10.213.0.0/27"));
        reach.refuse(&network("2", "10.213.0.32/27"), "full");
        let way = |text: &str| reach.way(text.parse().unwrap());
        assert_eq!((way("10.213.0.31"), way("10.213.0.32")), (Way::Open, Way::Refused("full")));
        assert_eq!((way("10.213.0.64"), way("::1")), (Way::Closed, Way::Closed));
        assert_eq!(Reach::everything().way("::1".parse().unwrap()), Way::Open);
    }
}
