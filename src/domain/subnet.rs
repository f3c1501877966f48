//! Subnets for networks: pure arithmetic, IPv4 only.
//!
//! An engine with its default pools is used up after some thirty networks, so drey hands out small ones itself.

use std::fmt;
use std::net::Ipv4Addr;

use thiserror::Error;

/// Size of the network that each compose network gets: a /27 has room for 29 containers beside the gateway.
pub const NETWORK_PREFIX: u8 = 27;

/// Why there is no subnet.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SubnetError {
    /// Not an IPv4 network in CIDR form.
    #[error("{text:?} is not an IPv4 network such as 10.213.0.0/16: {reason}")]
    Malformed { text: String, reason: &'static str },
    /// The pool holds not a single network.
    #[error("engine.subnets {text:?}: {reason}")]
    Pool { text: String, reason: String },
    /// All networks of the pool are in use.
    #[error("engine.subnets {pool} is used up: no /{NETWORK_PREFIX} is free; widen it, or end environments")]
    Exhausted { pool: Subnet },
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    address: u32,
    prefix: u8,
}

/// The lowest network of [`NETWORK_PREFIX`] in the pool that overlaps none of `used`.
pub fn lowest_free(pool: Subnet, used: &[Subnet]) -> Result<Subnet, SubnetError> {
    let mut used: Vec<Subnet> = used.iter().copied().filter(|subnet| subnet.overlaps(pool)).collect();
    used.sort_unstable();
    let mut start = u64::from(pool.address);
    for subnet in used {
        if start + SIZE <= u64::from(subnet.address) {
            break;
        }
        start = start.max((subnet.last() + 1).next_multiple_of(SIZE));
    }
    match u32::try_from(start) {
        Ok(address) if start + SIZE - 1 <= pool.last() => Ok(Subnet { address, prefix: NETWORK_PREFIX }),
        Ok(_) | Err(_) => Err(SubnetError::Exhausted { pool }),
    }
}

/// Addresses of a network.
const SIZE: u64 = 1 << (32 - NETWORK_PREFIX);

impl Subnet {
    /// Reads `a.b.c.d/prefix`; the bits behind the prefix must be zero.
    pub fn parse(text: &str) -> Result<Self, SubnetError> {
        let refuse = |reason| SubnetError::Malformed { text: text.to_owned(), reason };
        let (address, prefix) = text.split_once('/').ok_or_else(|| refuse("the /prefix is missing"))?;
        let Ok(address) = address.parse::<Ipv4Addr>() else {
            return Err(refuse("the address is wrong"));
        };
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|&prefix| digits && prefix <= 32);
        let prefix: u8 = prefix.ok_or_else(|| refuse("the prefix must be 0 to 32"))?;
        let subnet = Self { address: address.to_bits(), prefix };
        if u64::from(subnet.address) % subnet.size() != 0 {
            return Err(refuse("bits are set behind the prefix"));
        }
        Ok(subnet)
    }

    /// Reads the setting `engine.subnets`: a network that holds at least one of [`NETWORK_PREFIX`].
    pub fn parse_pool(text: &str) -> Result<Self, SubnetError> {
        let refuse = |reason| SubnetError::Pool { text: text.to_owned(), reason };
        let pool = Self::parse(text).map_err(|error| refuse(error.to_string()))?;
        if pool.prefix > NETWORK_PREFIX {
            return Err(refuse(format!("is smaller than the /{NETWORK_PREFIX} that a single network needs")));
        }
        Ok(pool)
    }

    /// Whether an address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        u64::from(self.address) <= other.last() && u64::from(other.address) <= self.last()
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        let address = u64::from(address.to_bits());
        u64::from(self.address) <= address && address <= self.last()
    }

    const fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }

    fn last(self) -> u64 {
        u64::from(self.address) + self.size() - 1
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.address), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn reads_cidr_and_nothing_else() {
        for good in ["10.213.0.0/16", "0.0.0.0/0", "255.255.255.255/32"] {
            assert_eq!(subnet(good).to_string(), good);
        }
        for bad in
            ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "10.0.0.1/8", "fd00::/64", "10.0/8"]
        {
            assert!(Subnet::parse(bad).is_err(), "{bad}");
        }
        let small = Subnet::parse_pool("10.0.0.0/28").unwrap_err().to_string();
        assert!(small.starts_with("engine.subnets \"10.0.0.0/28\": "), "{small}");
        assert!(Subnet::parse_pool("nonsense").unwrap_err().to_string().contains("engine.subnets"));
    }

    #[test]
    fn a_pool_gives_all_its_networks_and_then_says_so() {
        for pool in ["10.0.0.0/27", "10.0.0.0/24", "255.255.255.0/24", "0.0.0.0/24"].map(subnet) {
            let mut used = Vec::new();
            let error = loop {
                match lowest_free(pool, &used) {
                    Ok(found) => used.push(found),
                    Err(error) => break error,
                }
            };
            assert_eq!(used.len() as u64 * SIZE, pool.size());
            assert!(used.is_sorted(), "lowest first");
            assert!(error.to_string().contains("engine.subnets"), "{error}");
        }
    }

    #[test]
    fn larger_and_smaller_neighbours_are_passed() {
        let pool = subnet("10.0.0.0/24");
        let used = ["10.0.0.4/30", "10.0.0.64/26", "10.0.0.64/32", "192.168.0.0/16"].map(subnet);
        assert_eq!(lowest_free(pool, &used).unwrap(), subnet("10.0.0.32/27"));
        let used = ["10.0.0.0/26", "10.0.0.80/30"].map(subnet);
        assert_eq!(lowest_free(pool, &used).unwrap(), subnet("10.0.0.96/27"));
        assert!(lowest_free(pool, &[subnet("10.0.0.0/8")]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_given_is_free_in_the_pool_and_the_lowest(
            used in proptest::collection::vec((0u32..1024, 24u8..=32), 0..40),
        ) {
            let pool = subnet("10.0.0.0/22");
            let used: Vec<Subnet> = used
                .into_iter()
                .map(|(offset, prefix)| {
                    let size = 1u32 << (32 - prefix);
                    Subnet { address: (pool.address + offset) / size * size, prefix }
                })
                .collect();
            let all = (0..32u32).map(|n| Subnet { address: pool.address + n * 32, prefix: NETWORK_PREFIX });
            let expected = all.into_iter().find(|one| used.iter().all(|other| !one.overlaps(*other)));
            prop_assert_eq!(lowest_free(pool, &used).ok(), expected);
        }
    }
}
