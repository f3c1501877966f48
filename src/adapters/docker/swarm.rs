//! What a manager of a Swarm tells of its services, and where this host reaches their containers.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::{
    EndpointPortConfig, EndpointPortConfigProtocolEnum as Protocol,
    EndpointPortConfigPublishModeEnum as Mode, NetworkInspect, Node, Service as SwarmService,
    Task as SwarmTask, TaskState,
};
use bollard::query_parameters::{
    InspectNetworkOptions, ListNodesOptions, ListServicesOptions, ListTasksOptionsBuilder,
};

use super::error;
use crate::domain::outsiders::{Service, Swarm, Task};

/// The network over which containers of services and their host reach one another.
const GATEWAY: &str = "docker_gwbridge";

/// None where the engine is no manager.
pub(super) async fn services(client: &Docker) -> Result<Option<Swarm>, EngineError> {
    let services = match client.list_services(None::<ListServicesOptions>).await {
        Ok(services) => services,
        // In no Swarm, or not its manager.
        Err(failure) if matches!(error::code(&failure), Some(503 | 404 | 406)) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let filters = HashMap::from([("desired-state", vec!["running".to_owned()])]);
    let options = ListTasksOptionsBuilder::new().filters(&filters).build();
    let tasks = client.list_tasks(Some(options)).await?;
    let nodes = client.list_nodes(None::<ListNodesOptions>).await?;
    let gateway = match client.inspect_network(GATEWAY, None::<InspectNetworkOptions>).await {
        Err(failure) if error::code(&failure) == Some(404) => None,
        other => Some(other?),
    };
    Ok(Some(swarm(services, tasks, nodes, gateway)))
}

fn swarm(
    services: Vec<SwarmService>,
    tasks: Vec<SwarmTask>,
    nodes: Vec<Node>,
    gateway: Option<NetworkInspect>,
) -> Swarm {
    let address = |node: Node| Some((node.id?, node.status?.addr?.parse().ok()?));
    let nodes: BTreeMap<String, IpAddr> = nodes.into_iter().filter_map(address).collect();
    let reached = gateway.and_then(|network| network.containers).unwrap_or_default().into_iter();
    let reached = reached.filter_map(|(container, endpoint)| {
        let text = endpoint.ipv4_address?;
        Some((container, text.split('/').next()?.parse().ok()?))
    });
    Swarm {
        services: services.into_iter().filter_map(service).collect(),
        tasks: tasks.into_iter().filter_map(|it| task(it, &nodes)).collect(),
        gateways: reached.collect(),
    }
}

fn service(found: SwarmService) -> Option<(String, Service)> {
    let spec = found.spec?;
    let published = found.endpoint.and_then(|endpoint| endpoint.ports).unwrap_or_default();
    let mut ports: Vec<u16> = published.iter().filter_map(target).collect();
    ports.sort_unstable();
    ports.dedup();
    let service = Service {
        name: spec.name.unwrap_or_default(),
        labels: spec.labels.unwrap_or_default().into_iter().collect(),
        mesh: mapped(&published, Mode::INGRESS),
        ports,
    };
    Some((found.id?, service))
}

fn task(found: SwarmTask, nodes: &BTreeMap<String, IpAddr>) -> Option<Task> {
    let status = found.status.filter(|status| status.state == Some(TaskState::RUNNING))?;
    let published = status.port_status.and_then(|ports| ports.ports).unwrap_or_default();
    let node = found.node_id?;
    // Of services that run once on every node.
    let slot = found.slot.map_or_else(|| node.clone(), |slot| slot.to_string());
    Some(Task {
        service: found.service_id?,
        container: status.container_status?.container_id?,
        slot,
        node: nodes.get(&node).copied(),
        published: mapped(&published, Mode::HOST),
    })
}

fn mapped(ports: &[EndpointPortConfig], mode: Mode) -> BTreeMap<u16, u16> {
    let of_mode = ports.iter().filter(|port| port.publish_mode == Some(mode));
    of_mode.filter_map(|port| Some((target(port)?, u16::try_from(port.published_port?).ok()?))).collect()
}

fn target(port: &EndpointPortConfig) -> Option<u16> {
    let is_tcp = port.protocol == Some(Protocol::TCP);
    port.target_port.filter(|_| is_tcp).and_then(|port| u16::try_from(port).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_manager_tells_becomes_a_swarm() {
        let port = json!({
            "Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 9090, "PublishMode": "host"
        });
        let mesh = json!({
            "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 30000, "PublishMode": "ingress"
        });
        let datagrams = json!({
            "Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "host"
        });
        let services = json!([{
            "ID": "s1",
            "Spec": {"Name": "pub", "Labels": {"drey.host": "pub.apps.example"}},
            "Endpoint": {"Ports": [port, mesh, datagrams]}
        }]);
        let task = |id: &str, state: &str, container: &str| {
            json!({
                "ID": id, "ServiceID": "s1", "Slot": 1, "NodeID": "n1", "DesiredState": "running",
                "Status": {"State": state, "ContainerStatus": {"ContainerID": container},
                           "PortStatus": {"Ports": [port]}}
            })
        };
        let tasks = json!([task("t1", "running", "c1"), task("t2", "preparing", "c2")]);
        let nodes = json!([{"ID": "n1", "Status": {"State": "ready", "Addr": "192.0.2.7"}}]);
        let gateway = json!({"Name": "docker_gwbridge", "Containers": {
            "c1": {"Name": "gateway_f65e2a386a81", "IPv4Address": "172.18.0.3/16"},
            "ingress-sbox": {"Name": "gateway_ingress-sbox", "IPv4Address": "172.18.0.2/16"}
        }});
        let found = swarm(
            serde_json::from_value(services).unwrap(),
            serde_json::from_value(tasks).unwrap(),
            serde_json::from_value(nodes).unwrap(),
            Some(serde_json::from_value(gateway).unwrap()),
        );
        let service = &found.services["s1"];
        assert_eq!((service.name.as_str(), &service.ports), ("pub", &vec![80, 8080]));
        assert_eq!(service.labels["drey.host"], "pub.apps.example");
        assert_eq!(service.mesh, BTreeMap::from([(80, 30_000)]));
        let one = Task {
            service: "s1".to_owned(),
            container: "c1".to_owned(),
            slot: "1".to_owned(),
            node: Some([192, 0, 2, 7].into()),
            published: BTreeMap::from([(8080, 9090)]),
        };
        assert_eq!(found.tasks, [one], "one that does not run yet is none");
        assert_eq!(found.gateways["c1"], IpAddr::from([172, 18, 0, 3]));
    }
}
