//! Containers that drey did not start, as the engine tells of them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::observe::INSPECTS_AT_ONCE;
use super::{CALL_LIMIT, DockerEngine, OBSERVE_LIMIT, call, error, swarm};
use crate::domain::outsiders::Outsider;
use crate::ports::{Outsiders, PortResult, meters};

/// On all that a drey makes, this one or another.
const MANAGED: &str = "drey.managed";
/// What changes who runs, and where: `connect` and `disconnect` are the networks' own, and what follows them also the services'.
const ACTIONS: [&str; 13] = [
    "start",
    "die",
    "stop",
    "destroy",
    "pause",
    "unpause",
    "rename",
    "health_status",
    "connect",
    "disconnect",
    "create",
    "update",
    "remove",
];

#[async_trait]
impl Outsiders for DockerEngine {
    async fn outsiders(&self) -> PortResult<Vec<Outsider>> {
        let client = self.client()?;
        let found = call("containers", OBSERVE_LIMIT, all(&client)).await;
        let containers = meters::engine("outsiders", self.named(found))?;
        let found = call("services", OBSERVE_LIMIT, swarm::services(&client)).await;
        let swarm = meters::engine("services", self.named(found))?;
        Ok(match swarm {
            Some(swarm) => swarm.join(containers),
            None => containers,
        })
    }

    async fn stirs(&self, told: mpsc::Sender<()>) -> PortResult<()> {
        let filters = HashMap::from([
            ("type", ["container", "network", "service"].map(str::to_owned).to_vec()),
            ("event", ACTIONS.map(str::to_owned).to_vec()),
        ]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let mut events = self.client()?.events(Some(options));
        while let Some(event) = events.next().await {
            let event =
                event.map_err(|failure| self.name_absence(error::map("events of the engine", failure)))?;
            let labels = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
            if labels.contains_key(MANAGED) {
                continue;
            }
            // One word on its way is as good as many.
            if let Err(mpsc::error::TrySendError::Closed(())) = told.try_send(()) {
                break;
            }
        }
        Ok(())
    }
}

async fn all(client: &Docker) -> Result<Vec<Outsider>, EngineError> {
    let filters = HashMap::from([("status", vec!["running".to_owned()])]);
    let options = ListContainersOptionsBuilder::new().filters(&filters).build();
    let listed = client.list_containers(Some(options)).await?;
    let foreign =
        listed.into_iter().filter(|it| !it.labels.iter().flatten().any(|(name, _)| name == MANAGED));
    let ids: Vec<String> = foreign.filter_map(|summary| summary.id).collect();
    stream::iter(ids)
        .map(|id| inspect(client, id))
        .buffer_unordered(INSPECTS_AT_ONCE)
        .try_filter_map(async |container| Ok(container))
        .try_collect()
        .await
}

/// `None` when it went between the list and the question.
async fn inspect(client: &Docker, id: String) -> Result<Option<Outsider>, EngineError> {
    let asked = client.inspect_container(&id, None::<InspectContainerOptions>);
    match tokio::time::timeout(CALL_LIMIT, asked).await {
        Ok(Ok(inspected)) => Ok(Some(outsider(id, inspected))),
        Ok(Err(error)) if error::code(&error) == Some(404) => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_slow) => Ok(None),
    }
}

fn outsider(id: String, inspected: ContainerInspectResponse) -> Outsider {
    let config = inspected.config.unwrap_or_default();
    let host = inspected.host_config.unwrap_or_default();
    let health = inspected.state.and_then(|state| state.health).and_then(|health| health.status);
    let endpoints = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let address = |text: Option<String>| text.and_then(|text| text.parse::<IpAddr>().ok());
    let addresses = endpoints.into_iter().filter_map(|(network, endpoint)| {
        Some((network, address(endpoint.ip_address).or(address(endpoint.global_ipv6_address))?))
    });
    let variable =
        |line: String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let exposed = config.exposed_ports.unwrap_or_default();
    let published = host.port_bindings.unwrap_or_default().into_keys();
    let mut ports: Vec<u16> = exposed.into_iter().chain(published).filter_map(|port| tcp(&port)).collect();
    ports.sort_unstable();
    ports.dedup();
    Outsider {
        id,
        name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        environment: config
            .env
            .unwrap_or_default()
            .into_iter()
            .filter_map(variable)
            .collect::<BTreeMap<_, _>>(),
        hostname: config.hostname.filter(|name| !name.is_empty()),
        addresses: addresses.collect(),
        published: BTreeMap::new(),
        is_elsewhere: false,
        is_on_host: host.network_mode.as_deref() == Some("host"),
        ports,
        is_healthy: !matches!(health, Some(HealthStatusEnum::STARTING | HealthStatusEnum::UNHEALTHY)),
    }
}

/// `8080/tcp`.
fn tcp(port: &str) -> Option<u16> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    number.parse().ok().filter(|_| protocol == "tcp")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_inspect_answer_becomes_an_outsider() {
        let answer = json!({
            "Name": "/shop", "State": { "Status": "running", "Health": { "Status": "unhealthy" } },
            "Config": {
                "Hostname": "box", "Labels": { "interlock.hostname": "x" }, "Env": ["A=b=c", "ODD"],
                "ExposedPorts": { "9000/tcp": {}, "53/udp": {} }
            },
            "HostConfig": { "NetworkMode": "default", "PortBindings": { "80/tcp": [{ "HostPort": "8080" }] } },
            "NetworkSettings": { "Networks": {
                "bridge": { "IPAddress": "172.17.0.2", "GlobalIPv6Address": "fd00::2" },
                "six": { "IPAddress": "", "GlobalIPv6Address": "fd01::2" },
                "none": { "IPAddress": "" }
            } }
        });
        let found = outsider("ff".to_owned(), serde_json::from_value(answer).unwrap());
        assert_eq!(
            (found.name.as_str(), found.hostname.as_deref(), found.is_healthy),
            ("shop", Some("box"), false)
        );
        assert_eq!(found.environment, BTreeMap::from([("A".to_owned(), "b=c".to_owned())]));
        assert_eq!(found.ports, [80, 9000]);
        let addresses: Vec<String> =
            found.addresses.iter().map(|(name, it)| format!("{name} {it}")).collect();
        assert_eq!(addresses, ["bridge 172.17.0.2", "six fd01::2"]);
        assert!(!found.is_on_host);
    }
}
