//! Networks in CIDR form, and whose request it is that came through proxies.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// Bits of an IPv6 address that tell one network of a customer from another (RFC 6177): below it one sender has as many
/// addresses as it likes.
const CUSTOMER_PREFIX: u8 = 64;

/// Why a text is no network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text:?} is no address and no network such as 10.0.0.0/8 or fd00::/8: {reason}")]
pub struct NetworkError {
    text: String,
    reason: &'static str,
}

/// An IPv4 or IPv6 network; a single address is one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `address/prefix`, or an address alone. The bits behind the prefix must be zero.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let refuse = |reason| NetworkError { text: text.to_owned(), reason };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else { return Err(refuse("the address is wrong")) };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(prefix) => match prefix.parse::<u8>() {
                Ok(prefix) if prefix <= most => prefix,
                Ok(_) | Err(_) => return Err(refuse("the prefix is wrong")),
            },
        };
        if masked(address, prefix) != address {
            return Err(refuse("bits behind the prefix are set"));
        }
        Ok(Self { address, prefix })
    }

    /// Whether the address lies in it. An IPv4 address in the form of IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whose request it is: the peer's, unless that is one of `trusted`. Then the last of `forwarded` (the values of
/// `X-Forwarded-For`, in their order) that is not itself a trusted proxy: whatever stands before it could be invented.
pub fn client(peer: IpAddr, forwarded: &[&str], trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    for entry in forwarded.iter().flat_map(|value| value.split(',')).rev() {
        if !is_trusted(client) {
            return client;
        }
        // What a trusted proxy wrote down and nobody can read tells nothing of whoever is behind it.
        let Some(address) = forwarded_address(entry.trim()) else { return client };
        client = address;
    }
    client
}

/// What counts as one sender: an IPv4 address, or a customer's network of IPv6.
pub fn sender(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => masked(IpAddr::V6(address), CUSTOMER_PREFIX),
    }
}

/// `address`, `address:port` or `[address]:port`.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => address,
            Some(_) | None => text,
        },
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_hold_their_addresses() {
        let holds = |network: &str, inside: &str| Network::parse(network).unwrap().contains(address(inside));
        assert!(holds("10.0.0.0/8", "10.255.1.2") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("127.0.0.1", "127.0.0.1") && !holds("127.0.0.1", "127.0.0.2"));
        assert!(holds("127.0.0.0/8", "::ffff:127.0.0.1"));
        assert!(
            holds("fd00::/8", "fd12::1") && holds("::/0", "2001:db8::1") && !holds("fd00::/8", "fe80::1")
        );
        for bad in ["", "x", "10.0.0.0/33", "10.0.0.1/8", "fd00::/129", "10.0.0.0/", "/8", "10.0.0.0/-1"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Network::parse("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_a_stranger_says_of_itself_is_not_believed() {
        let trusted = [Network::parse("10.0.0.0/8").unwrap()];
        let whose = |peer: &str, forwarded: &[&str]| client(address(peer), forwarded, &trusted).to_string();
        assert_eq!(whose("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(whose("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(whose("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(whose("10.0.0.1", &["1.1.1.1, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(whose("10.0.0.1", &["1.1.1.1, 198.51.100.1", "10.0.0.7"]), "198.51.100.1");
        assert_eq!(whose("10.0.0.1", &["198.51.100.1, what, 10.0.0.7"]), "10.0.0.7");
        assert_eq!(whose("::ffff:10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(whose("10.0.0.1", &["198.51.100.1:80"]), "198.51.100.1");
    }

    #[test]
    fn a_sender_is_an_address_or_a_customers_network() {
        assert_eq!(sender(address("::ffff:10.1.2.3")), address("10.1.2.3"));
        assert_eq!(sender(address("2001:db8:1:2:3::4")), address("2001:db8:1:2::"));
    }
}
