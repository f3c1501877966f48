//! Which packets of a branch's containers pass: what is walled in, and where the openings are. Pure.
//!
//! Containers of one network reach each other and the outside. They reach no other environment, nothing that this machine
//! serves but the proxy's ports, and no address that is denied.

use super::subnet::{Subnet, SubnetError};

/// Addresses that clouds serve credentials at (169.254.169.254 and its kin): link-local, so no branch needs any of them.
pub const METADATA: &str = "169.254.0.0/16";

/// Whether walls are put up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Where the machine lets drey; told where it does not.
    #[default]
    On,
    /// Without them nothing is started.
    Required,
    Off,
}

/// What the configuration says of walls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub mode: Mode,
    /// Networks (CIDR) that no branch reaches, besides [`METADATA`].
    pub denied: Vec<Subnet>,
    /// Networks of the engine that are walled in besides those of environments, for instance the one that builds use.
    pub walled_in: Vec<Subnet>,
    /// TCP ports of this machine that are open to branches: the proxy's.
    pub proxy_ports: Vec<u16>,
    /// Ports of this machine, TCP and UDP, that are open besides.
    pub host_ports: Vec<u16>,
}

/// The walls as they should stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walls {
    /// The networks of environments. Each is a world of its own.
    pub branches: Vec<Subnet>,
    pub denied: Vec<Subnet>,
    pub tcp: Vec<u16>,
    pub udp: Vec<u16>,
}

impl Rules {
    /// The walls around these networks, sorted: the same networks give the same walls.
    ///
    /// # Errors
    /// When one of them is no IPv4 network.
    pub fn walls(&self, subnets: &[String]) -> Result<Walls, SubnetError> {
        let mut branches = subnets.iter().map(|cidr| Subnet::parse(cidr)).collect::<Result<Vec<_>, _>>()?;
        // Alone they are no reason for a table: nothing of ours runs.
        if !branches.is_empty() {
            branches.extend(&self.walled_in);
        }
        branches.sort_unstable();
        branches.dedup();
        let mut denied = self.denied.clone();
        denied.push(Subnet::parse(METADATA)?);
        let sorted = |ports: Vec<u16>| {
            let mut ports = ports;
            ports.sort_unstable();
            ports.dedup();
            ports
        };
        let udp = sorted(self.host_ports.clone());
        let tcp = sorted([&self.proxy_ports[..], &self.host_ports[..]].concat());
        Ok(Walls { branches, denied, tcp, udp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_networks_give_the_same_walls() {
        let rules = Rules { proxy_ports: vec![443, 80], host_ports: vec![53, 443], ..Rules::default() };
        let of = |subnets: &[&str]| {
            rules.walls(&subnets.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).unwrap()
        };
        let walls = of(&["10.213.0.32/27", "10.213.0.0/27", "10.213.0.32/27"]);
        assert_eq!(walls, of(&["10.213.0.0/27", "10.213.0.32/27"]));
        assert_eq!((walls.tcp, walls.udp), (vec![53, 80, 443], vec![53, 443]));
        assert_eq!(walls.denied, [Subnet::parse(METADATA).unwrap()]);
        assert!(rules.walls(&["fd00::/64".to_owned()]).is_err());
    }
}
