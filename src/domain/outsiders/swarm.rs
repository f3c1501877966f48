//! Services of a Swarm: their labels count for the containers of their tasks, wherever those run.
//!
//! A container of a task is on networks that reach from node to node, and that the host itself is no part of. The engine gives it
//! one more address, at the gateway to its host: that is where it is reached from here. What runs on another node is reached
//! by a port that it publishes there.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Outsider;

/// The label by which a container says of which service it is.
const SERVICE: &str = "com.docker.swarm.service.id";

/// What a manager knows of its services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swarm {
    /// By id.
    pub services: BTreeMap<String, Service>,
    /// Those that run.
    pub tasks: Vec<Task>,
    /// Containers of this node → where the host reaches them.
    pub gateways: BTreeMap<String, IpAddr>,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// TCP ports of its containers → the port that every node has for it.
    pub mesh: BTreeMap<u16, u16>,
    /// TCP ports of its containers that are published in any way, in rising order.
    pub ports: Vec<u16>,
}

/// One container of a service, on whatever node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub service: String,
    /// The engine's id of it.
    pub container: String,
    /// Which of the service's it is, for people.
    pub slot: String,
    /// The address of its node.
    pub node: Option<IpAddr>,
    /// TCP ports of the container → those that its node has for it alone.
    pub published: BTreeMap<u16, u16>,
}

impl Swarm {
    /// The containers of this node as their services describe them, and those of other nodes. A label of a container counts
    /// before the same of its service.
    pub fn join(&self, containers: Vec<Outsider>) -> Vec<Outsider> {
        let mut all: Vec<Outsider> = containers.into_iter().map(|it| self.described(it)).collect();
        let elsewhere = |task: &&Task| !all.iter().any(|it| it.id == task.container);
        let others: Vec<Outsider> =
            self.tasks.iter().filter(elsewhere).filter_map(|task| self.elsewhere(task)).collect();
        all.extend(others);
        all
    }

    fn described(&self, mut container: Outsider) -> Outsider {
        let service = container.labels.get(SERVICE).and_then(|id| self.services.get(id));
        let Some(service) = service else { return container };
        for (name, value) in &service.labels {
            container.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if let Some(gateway) = self.gateways.get(&container.id) {
            for address in container.addresses.values_mut() {
                *address = *gateway;
            }
        }
        container.ports.extend(&service.ports);
        container.ports.sort_unstable();
        container.ports.dedup();
        container
    }

    fn elsewhere(&self, task: &Task) -> Option<Outsider> {
        let service = self.services.get(&task.service)?;
        let at = |(target, port): (&u16, &u16)| Some((*target, SocketAddr::new(task.node?, *port)));
        Some(Outsider {
            id: task.container.clone(),
            name: format!("{}.{}", service.name, task.slot),
            labels: service.labels.clone(),
            published: service.mesh.iter().chain(&task.published).filter_map(at).collect(),
            ports: service.ports.clone(),
            is_elsewhere: true,
            is_healthy: true,
            ..Outsider::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outsiders::{Allowed, judge};

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// A service with one container here and one on another node, which is published there.
    fn swarm() -> Swarm {
        let service = Service {
            name: "site".to_owned(),
            labels: labels(&[("drey.host", "site.apps.example"), ("drey.port", "8080")]),
            ..Service::default()
        };
        let task = |container: &str, slot: &str, published: &[(u16, u16)]| Task {
            service: "s1".to_owned(),
            container: container.to_owned(),
            slot: slot.to_owned(),
            node: Some([192, 0, 2, 7].into()),
            published: published.iter().copied().collect(),
        };
        Swarm {
            services: BTreeMap::from([("s1".to_owned(), service)]),
            tasks: vec![task("here", "1", &[]), task("there", "2", &[(8080, 30_080)])],
            gateways: BTreeMap::from([("here".to_owned(), [172, 18, 0, 3].into())]),
        }
    }

    fn here() -> Outsider {
        let address = |last: u8| IpAddr::from([10, 0, last, 11]);
        Outsider {
            id: "here".to_owned(),
            name: "site.1.q7kl".to_owned(),
            labels: labels(&[(SERVICE, "s1")]),
            addresses: [("apps".to_owned(), address(1)), ("ingress".to_owned(), address(0))].into(),
            is_healthy: true,
            ..Outsider::default()
        }
    }

    fn told(swarm: &Swarm, containers: Vec<Outsider>) -> Vec<String> {
        let allowed =
            Allowed { patterns: vec!["*.apps.example".to_owned()], domain: "qa.example".to_owned() };
        let found = judge(&swarm.join(containers), &allowed);
        let places = found.places.iter().map(|it| format!("{} {} {}", it.host, it.container, it.address));
        places.chain(found.faults.iter().map(|it| format!("{} {}", it.container, it.reason))).collect()
    }

    #[test]
    fn each_of_its_containers_gets_requests_where_it_is_reached() {
        assert_eq!(
            told(&swarm(), vec![here()]),
            ["site.apps.example site.1.q7kl 172.18.0.3:8080", "site.apps.example site.2 192.0.2.7:30080"]
        );
    }

    #[test]
    fn a_port_that_every_node_has_will_do_and_none_is_told() {
        let mut swarm = swarm();
        swarm.tasks[1].published.clear();
        let faults = told(&swarm, vec![here()]);
        assert!(faults[1].starts_with("site.2 ") && faults[1].contains("publish"), "{faults:?}");
        swarm.services.get_mut("s1").unwrap().mesh = [(8080, 9090)].into();
        assert_eq!(told(&swarm, vec![here()])[1], "site.apps.example site.2 192.0.2.7:9090");
    }

    #[test]
    fn a_containers_own_label_counts_first_and_what_is_no_service_stays() {
        let mut own = here();
        own.labels.insert("drey.host".to_owned(), "own.apps.example".to_owned());
        let other = Outsider { id: "x".to_owned(), name: "x".to_owned(), ..Outsider::default() };
        let joined = swarm().join(vec![own, other.clone()]);
        assert_eq!(joined[0].labels["drey.host"], "own.apps.example");
        assert_eq!(joined[1], other);
    }
}
