//! A container that somebody else starts: looked at, spoken to, and put on networks of ours.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, EndpointSettings, MountPoint,
    NetworkConnectRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    ListNetworksOptionsBuilder,
};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep};

use super::observe::{INSTANCE_LABEL, SERVICE_LABEL};
use super::{CALL_LIMIT, DockerEngine, call, checked_name, error, limited};
use crate::domain::joining::OwnNetwork;
use crate::domain::names::{InstanceId, ProjectName};
use crate::domain::subnet::Subnet;
use crate::ports::{Endpoint, Foreign, ForeignContainer, Mount, PortError, PortResult, Rested, meters};

/// Reading a configuration of thousands of hosts takes seconds.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// The engine closes the output before it knows the exit code.
const EXIT_CODE_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A proxy's words on its configuration are read by people.
const LONGEST_OUTPUT: usize = 256 * 1024;
/// Below every network that asks for nothing: a network of a branch is never a container's way out (Engine 28 and newer;
/// before, the first name in the alphabet is).
const LAST: i64 = -1000;

/// Containers of others beside those of one drey.
#[derive(Debug)]
pub struct DockerForeign {
    engine: Arc<DockerEngine>,
    instance: InstanceId,
}

impl DockerForeign {
    pub fn new(engine: Arc<DockerEngine>, instance: InstanceId) -> Self {
        Self { engine, instance }
    }

    async fn inspect(&self, name: &str) -> PortResult<Option<ForeignContainer>> {
        let client = self.engine.client()?;
        let what = format!("container {name}");
        let look =
            client.inspect_container(checked_name("container", name)?, None::<InspectContainerOptions>);
        match call(&what, CALL_LIMIT, look).await {
            // The engine also finds containers by the beginning of their id.
            Ok(there) if there.name.as_deref().map(|it| it.trim_start_matches('/')) == Some(name) => {
                Ok(Some(container(there)))
            }
            Ok(_) | Err(PortError::NotFound(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    async fn run(&self, name: &str, command: Vec<String>) -> PortResult<(i64, String)> {
        let client = self.engine.client()?;
        let what = format!("command in container {name}");
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command),
            ..CreateExecOptions::default()
        };
        let created = client.create_exec(checked_name("container", name)?, options);
        let id = call(&what, CALL_LIMIT, created).await?.id;
        let mut text = Vec::new();
        match call(&what, CALL_LIMIT, client.start_exec(&id, None)).await? {
            StartExecResults::Attached { mut output, .. } => {
                while let Some(chunk) = output.next().await {
                    let chunk = chunk.map_err(|failure| error::map(&what, failure))?;
                    text.extend(chunk.as_ref());
                    text.truncate(LONGEST_OUTPUT);
                }
            }
            StartExecResults::Detached => {}
        }
        let begun = Instant::now();
        loop {
            let there = call(&what, CALL_LIMIT, client.inspect_exec(&id)).await?;
            if let (Some(false), Some(code)) = (there.running, there.exit_code) {
                return Ok((code, String::from_utf8_lossy(&text).into_owned()));
            }
            if begun.elapsed() > EXIT_CODE_LIMIT {
                return Err(PortError::Transient(format!("{what}: the engine does not say how it ended")));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn networks(&self) -> PortResult<Vec<OwnNetwork>> {
        let filters = HashMap::from([("label", vec![format!("{INSTANCE_LABEL}={}", self.instance)])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let client = self.engine.client()?;
        let listed = call("networks", CALL_LIMIT, client.list_networks(Some(options))).await?;
        let prefix = ProjectName::prefix(&self.instance);
        let own = listed.into_iter().filter_map(|network| {
            let (id, name) = (network.id?, network.name?);
            let configured = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
            let subnets = configured.into_iter().filter_map(|it| Subnet::parse(&it.subnet?).ok()).collect();
            name.starts_with(&prefix).then_some(OwnNetwork { id, name, subnets })
        });
        Ok(own.collect())
    }

    async fn join(&self, network: &str, name: &str) -> PortResult<()> {
        let client = self.engine.client()?;
        let endpoint = EndpointSettings { gw_priority: Some(LAST), ..EndpointSettings::default() };
        let request = NetworkConnectRequest { container: name.to_owned(), endpoint_config: Some(endpoint) };
        let what = format!("network {network}");
        let joining = client.connect_network(checked_name("network", network)?, request);
        match call(&what, CALL_LIMIT, joining).await {
            Err(error) if error.to_string().contains("already exists in network") => Ok(()),
            other => other,
        }
    }

    async fn part(&self, network: &str, name: &str) -> PortResult<()> {
        let client = self.engine.client()?;
        // By force a network that is gone is forgotten, too: without that the container could not be started again.
        let request = NetworkDisconnectRequest { container: name.to_owned(), force: Some(true) };
        let what = format!("network {network}");
        let parting = client.disconnect_network(checked_name("network", network)?, request);
        match call(&what, CALL_LIMIT, parting).await {
            Err(PortError::NotFound(_)) => Ok(()),
            Err(error) if error.to_string().contains("is not connected") => Ok(()),
            other => other,
        }
    }
}

#[async_trait]
impl Foreign for DockerForeign {
    async fn container(&self, name: &str) -> PortResult<Option<ForeignContainer>> {
        meters::engine("container", self.engine.named(self.inspect(name).await))
    }

    async fn execute(&self, name: &str, command: Vec<String>) -> PortResult<(i64, String)> {
        let what = format!("command in container {name}");
        let done = limited(&what, COMMAND_LIMIT, self.run(name, command)).await;
        meters::engine("execute", self.engine.named(done))
    }

    async fn signal(&self, name: &str, signal: &str) -> PortResult<()> {
        let client = self.engine.client()?;
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let what = format!("container {name}");
        let told = client.kill_container(checked_name("container", name)?, Some(options));
        meters::engine("signal", self.engine.named(call(&what, CALL_LIMIT, told).await))
    }

    async fn own_networks(&self) -> PortResult<Vec<OwnNetwork>> {
        meters::engine("own_networks", self.engine.named(self.networks().await))
    }

    async fn services_on(&self, network: &str) -> PortResult<Vec<String>> {
        let client = self.engine.client()?;
        let filters = HashMap::from([("network", vec![network.to_owned()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = call("containers", CALL_LIMIT, client.list_containers(Some(options))).await;
        let listed = meters::engine("services_on", self.engine.named(listed))?;
        let service = |labels: HashMap<String, String>| labels.get(SERVICE_LABEL).cloned();
        Ok(listed.into_iter().filter_map(|it| it.labels.and_then(service)).collect())
    }

    async fn connect(&self, network: &str, name: &str) -> PortResult<()> {
        meters::engine("connect", self.engine.named(self.join(network, name).await))
    }

    async fn disconnect(&self, network: &str, name: &str) -> PortResult<()> {
        meters::engine("disconnect", self.engine.named(self.part(network, name).await))
    }
}

fn container(inspected: ContainerInspectResponse) -> ForeignContainer {
    let host = inspected.host_config.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    let endpoints = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let address = |text: Option<String>| text.and_then(|text| text.parse::<IpAddr>().ok());
    let networks = endpoints.into_iter().map(|(name, it)| {
        let network = it.network_id.unwrap_or_default();
        let (here, gateway) = (address(it.ip_address), address(it.gateway));
        let endpoint = Endpoint { network, address: here.or(address(it.global_ipv6_address)), gateway };
        (name, endpoint)
    });
    ForeignContainer {
        id: inspected.id.unwrap_or_default(),
        rested: rested(&state),
        first_process: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
        is_on_host: host.network_mode.as_deref() == Some("host"),
        mounts: inspected.mounts.unwrap_or_default().into_iter().filter_map(mount).collect(),
        sysctls: host.sysctls.unwrap_or_default().into_iter().collect(),
        networks: networks.collect(),
    }
}

fn rested(state: &ContainerState) -> Option<Rested> {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING) => None,
        Some(ContainerStateStatusEnum::PAUSED) => Some(Rested::Paused),
        Some(ContainerStateStatusEnum::RESTARTING) => Some(Rested::Restarting),
        Some(
            ContainerStateStatusEnum::EMPTY
            | ContainerStateStatusEnum::CREATED
            | ContainerStateStatusEnum::STOPPING
            | ContainerStateStatusEnum::REMOVING
            | ContainerStateStatusEnum::EXITED
            | ContainerStateStatusEnum::DEAD,
        )
        | None => Some(Rested::Stopped(state.exit_code.unwrap_or_default())),
    }
}

fn mount(point: MountPoint) -> Option<Mount> {
    Some(Mount {
        source: point.source?.into(),
        destination: point.destination?.into(),
        is_writable: point.rw.unwrap_or(true),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: &str) -> ForeignContainer {
        let answer = json!({
            "Id": "ff", "Name": "/edge", "State": { "Status": status, "Pid": 4711, "ExitCode": 1 },
            "HostConfig": { "NetworkMode": "edge", "Sysctls": { "net.ipv4.ip_forward": "0" } },
            "Mounts": [{ "Type": "bind", "Source": "/srv/edge", "Destination": "/srv/edge", "RW": true }],
            "NetworkSettings": { "Networks": {
                "edge": { "NetworkID": "aa", "IPAddress": "172.30.0.2", "Gateway": "172.30.0.1" },
                "drey-x-1_default": { "NetworkID": "bb", "IPAddress": "" }
            } }
        });
        container(serde_json::from_value(answer).unwrap())
    }

    #[test]
    fn an_inspect_answer_becomes_a_container_of_somebody() {
        let edge = read("running");
        assert_eq!((edge.rested.as_ref(), edge.first_process, edge.is_on_host), (None, Some(4711), false));
        assert_eq!(edge.networks["edge"].address, Some("172.30.0.2".parse().unwrap()));
        assert_eq!(edge.networks["edge"].gateway, Some("172.30.0.1".parse().unwrap()));
        assert_eq!(edge.networks["drey-x-1_default"].address, None);
        assert_eq!(edge.sysctls["net.ipv4.ip_forward"], "0");
        assert!(edge.mounts[0].is_writable && edge.mounts[0].source == edge.mounts[0].destination);
    }

    #[test]
    fn why_it_does_not_work_is_told_apart() {
        assert_eq!(read("paused").rested, Some(Rested::Paused));
        assert_eq!(read("restarting").rested, Some(Rested::Restarting));
        for stopped in ["exited", "created", "dead", "removing"] {
            assert_eq!(read(stopped).rested, Some(Rested::Stopped(1)), "{stopped}");
        }
    }
}
