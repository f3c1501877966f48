//! Networks of environments, for a proxy that is on none of them by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use async_trait::async_trait;

use super::fault::Fault;
use super::model::{Environment, Model};
use crate::domain::joining::{Reach, Way};
use crate::domain::provider::ProviderContainer;

/// Puts the proxy's container on networks and takes it off; both may run twice.
#[async_trait]
pub trait Networks: Send + Sync {
    /// Puts it where these addresses are, and says what it reaches then. [`Fault::Down`] where it does not run.
    async fn join(&self, addresses: &BTreeSet<IpAddr>) -> Result<Reach, Fault>;
    /// Takes it off all of drey's networks that none of these addresses is in. What does not work is told, and tried again
    /// with the next call.
    async fn leave(&self, addresses: &BTreeSet<IpAddr>);
    /// As it was seen last.
    fn container(&self) -> ProviderContainer;
}

/// Where the model leads straight to.
pub(super) fn addresses(model: &Model) -> BTreeSet<IpAddr> {
    model.direct().flat_map(|(_, backend)| &backend.servers).map(|server| server.ip()).collect()
}

/// Environments that are not reached, each with the reason, where it should be.
pub(super) fn cut_off(model: &Model, reach: &Reach) -> BTreeMap<u64, Option<String>> {
    let of = |environment: &Environment| {
        let servers = environment.direct.values().flat_map(|backend| &backend.servers);
        let mut ways = servers.map(|server| reach.way(server.ip())).filter(|way| *way != Way::Open);
        let first = ways.next()?;
        let told = std::iter::once(first).chain(ways).find_map(|way| match way {
            Way::Refused(why) => Some(why.to_owned()),
            Way::Open | Way::Closed => None,
        });
        Some(told)
    };
    model.environments.iter().filter_map(|(id, environment)| Some((*id, of(environment)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::{Backend, Policy};
    use super::*;
    use crate::domain::backend::Balance;
    use crate::domain::joining::OwnNetwork;
    use crate::domain::route::Scheme;
    use crate::domain::subnet::Subnet;

    fn environment(servers: &[&str]) -> Environment {
        let backend = |server: &&str| Backend {
            name: "b".to_owned(),
            servers: vec![server.parse().unwrap()],
            scheme: Scheme::Http,
            balance: Balance::default(),
            sticky: false,
            tls: None,
            timeout: None,
        };
        let direct = servers.iter().enumerate().map(|(number, it)| (number.to_string(), backend(it)));
        Environment {
            name: "shop/x".to_owned(),
            policy: Policy::default(),
            hosts: BTreeSet::new(),
            family: None,
            direct: direct.collect(),
        }
    }

    #[test]
    fn an_environment_with_one_container_out_of_reach_is_cut_off() {
        let network = |subnet: &str| OwnNetwork {
            id: subnet.to_owned(),
            name: "n".to_owned(),
            subnets: vec![Subnet::parse(subnet).unwrap()],
        };
        let mut reach = Reach::default();
        reach.join(&network("10.213.0.0/27"));
        reach.refuse(&network("10.213.0.32/27"), "full");
        let environments = [
            (1, environment(&["10.213.0.2:80", "10.213.0.3:80"])),
            (2, environment(&["10.213.0.2:80", "172.17.0.2:80", "10.213.0.40:80"])),
            (3, environment(&["172.17.0.2:80"])),
            (4, environment(&[])),
        ];
        let model = Model { environments: environments.into() };
        let found = cut_off(&model, &reach);
        assert_eq!(found, BTreeMap::from([(2, Some("full".to_owned())), (3, None)]));
        assert_eq!(addresses(&model).len(), 4);
        assert!(cut_off(&model, &Reach::everything()).is_empty());
    }
}
