//! One project as the engine has it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::{
    ContainerInspectResponse, ContainerState as EngineState, ContainerStateStatusEnum, ContainerSummary,
    HealthStatusEnum, NetworkSettings,
};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::error;
use crate::domain::names::ProjectName;
use crate::domain::observed::{Container, ContainerState, Health, Network, Observed, Volume};
use crate::ports::PortResult;

pub(super) const PROJECT_LABEL: &str = "com.docker.compose.project";
pub(super) const SERVICE_LABEL: &str = "com.docker.compose.service";
pub(super) const ONEOFF_LABEL: &str = "com.docker.compose.oneoff";
pub(super) const INSTANCE_LABEL: &str = "drey.instance";
const DEFINITION_LABEL: &str = "drey.definition";
/// Containers asked about at once; the engine takes a lock for each, more gives nothing.
pub(super) const INSPECTS_AT_ONCE: usize = 16;

/// Everything of the project, sorted by name. The three lists are taken at the same time.
pub(super) async fn observe(client: &Docker, project: &ProjectName) -> PortResult<Observed> {
    let (containers, networks, volumes) =
        tokio::try_join!(containers(client, project), networks(client, project), volumes(client, project))
            .map_err(|error| error::map(&format!("project {project}"), error))?;
    Ok(Observed { containers, networks, volumes })
}

async fn containers(client: &Docker, project: &ProjectName) -> Result<Vec<Container>, EngineError> {
    let ids = owned_ids(client, project).await?;
    let mut containers: Vec<Container> = stream::iter(ids)
        .map(|id| inspect(client, id))
        .buffer_unordered(INSPECTS_AT_ONCE)
        .try_filter_map(async |container| Ok(container))
        .try_collect()
        .await?;
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(containers)
}

/// Ids of the project's containers, also when stopped.
pub(super) async fn owned_ids(client: &Docker, project: &ProjectName) -> Result<Vec<String>, EngineError> {
    let options = ListContainersOptionsBuilder::new().all(true).filters(&project_filter(project)).build();
    let listed = client.list_containers(Some(options)).await?;
    Ok(listed.into_iter().filter(|summary| is_owned(summary, project)).filter_map(|it| it.id).collect())
}

/// `None` when it went between the list and the question.
async fn inspect(client: &Docker, id: String) -> Result<Option<Container>, EngineError> {
    match client.inspect_container(&id, None::<InspectContainerOptions>).await {
        Ok(inspected) => Ok(Some(container(id, inspected))),
        Err(error) if error::code(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn networks(client: &Docker, project: &ProjectName) -> Result<Vec<Network>, EngineError> {
    let options = ListNetworksOptionsBuilder::new().filters(&project_filter(project)).build();
    let prefix = resource_prefix(project);
    let mut networks: Vec<Network> = client
        .list_networks(Some(options))
        .await?
        .into_iter()
        .filter_map(|network| {
            let name = network.name.filter(|name| name.starts_with(&prefix))?;
            let definition = network.labels.and_then(|mut labels| labels.remove(DEFINITION_LABEL));
            Some(Network { name, id: network.id?, definition })
        })
        .collect();
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(networks)
}

async fn volumes(client: &Docker, project: &ProjectName) -> Result<Vec<Volume>, EngineError> {
    let options = ListVolumesOptionsBuilder::new().filters(&project_filter(project)).build();
    let prefix = resource_prefix(project);
    let mut volumes: Vec<Volume> = client
        .list_volumes(Some(options))
        .await?
        .volumes
        .unwrap_or_default()
        .into_iter()
        .filter(|volume| volume.name.starts_with(&prefix))
        .map(|mut volume| Volume { name: volume.name, definition: volume.labels.remove(DEFINITION_LABEL) })
        .collect();
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(volumes)
}

fn project_filter(project: &ProjectName) -> HashMap<&'static str, Vec<String>> {
    HashMap::from([("label", vec![format!("{PROJECT_LABEL}={project}")])])
}

fn resource_prefix(project: &ProjectName) -> String {
    format!("{project}_")
}

/// The label alone proves nothing: an image can carry it into a stranger's container.
fn is_owned(summary: &ContainerSummary, project: &ProjectName) -> bool {
    let prefix = format!("{project}-");
    summary.names.iter().flatten().any(|name| {
        let name = name.trim_start_matches('/');
        // While it is replaced, compose calls the old one `<12 hex digits>_<name>`.
        let replaced = name.split_once('_').filter(|(id, _)| id.len() == 12).map(|(_, rest)| rest);
        name.starts_with(&prefix) || replaced.is_some_and(|rest| rest.starts_with(&prefix))
    })
}

pub(super) fn container(id: String, inspected: ContainerInspectResponse) -> Container {
    let config = inspected.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    Container {
        id,
        name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        service: labels.get(SERVICE_LABEL).cloned().unwrap_or_default(),
        image: config.image.unwrap_or_default(),
        health: health(&state),
        state: container_state(&state),
        addresses: inspected.network_settings.map(addresses).unwrap_or_default(),
        last_exit: (state.status == Some(ContainerStateStatusEnum::RESTARTING))
            .then_some(state.exit_code)
            .flatten(),
        restarts: inspected.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
        oneoff: labels.get(ONEOFF_LABEL).is_some_and(|value| value.eq_ignore_ascii_case("true")),
    }
}

fn container_state(state: &EngineState) -> ContainerState {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => {
            ContainerState::Running
        }
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerState::Restarting,
        Some(ContainerStateStatusEnum::EXITED) => ContainerState::Exited(state.exit_code.unwrap_or_default()),
        Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD) => ContainerState::Dead,
        Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None => {
            ContainerState::Created
        }
    }
}

fn health(state: &EngineState) -> Health {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::None,
    }
}

/// A stopped container's endpoints have an empty address.
fn addresses(settings: NetworkSettings) -> BTreeMap<String, IpAddr> {
    settings
        .networks
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(network, endpoint)| {
            let v4 = endpoint.ip_address.and_then(|address| address.parse().ok());
            let v6 = endpoint.global_ipv6_address.and_then(|address| address.parse().ok());
            Some((network, v4.or(v6)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn project() -> ProjectName {
        ProjectName::from_stored("drey-abc123-4-feature-x".to_owned())
    }

    fn named(name: &str) -> ContainerSummary {
        ContainerSummary { names: Some(vec![name.to_owned()]), ..ContainerSummary::default() }
    }

    #[test]
    fn only_containers_with_the_projects_name_are_ours() {
        assert!(is_owned(&named("/drey-abc123-4-feature-x-web-1"), &project()));
        assert!(is_owned(&named("/0123456789ab_drey-abc123-4-feature-x-web-1"), &project()));
        assert!(!is_owned(&named("/happy_einstein"), &project()));
        assert!(!is_owned(&named("/drey-abc123-4-feature"), &project()));
        assert!(!is_owned(&named("/other_drey-abc123-4-feature-x-web-1"), &project()));
    }

    #[test]
    fn an_inspect_answer_becomes_a_container() {
        let answer = json!({
            "Id": "ff", "Name": "/drey-abc123-4-feature-x-db-1", "RestartCount": 2,
            "State": { "Status": "running", "Health": { "Status": "starting" }, "ExitCode": 0 },
            "Config": {
                "Image": "redis:7",
                "Labels": { "com.docker.compose.service": "db", "com.docker.compose.oneoff": "False" }
            },
            "NetworkSettings": { "Networks": {
                "drey-abc123-4-feature-x_default": { "IPAddress": "10.213.0.3" },
                "drey-abc123-4-feature-x_back": { "IPAddress": "", "GlobalIPv6Address": "" }
            } }
        });
        let observed = container("ff".to_owned(), serde_json::from_value(answer).unwrap());
        assert_eq!(
            observed,
            Container {
                id: "ff".to_owned(),
                name: "drey-abc123-4-feature-x-db-1".to_owned(),
                service: "db".to_owned(),
                image: "redis:7".to_owned(),
                state: ContainerState::Running,
                health: Health::Starting,
                addresses: BTreeMap::from([(
                    "drey-abc123-4-feature-x_default".to_owned(),
                    IpAddr::from([10, 213, 0, 3])
                )]),
                restarts: 2,
                last_exit: None,
                oneoff: false,
            }
        );
    }

    #[test]
    fn an_exit_keeps_its_code() {
        let state = EngineState {
            status: Some(ContainerStateStatusEnum::EXITED),
            exit_code: Some(137),
            ..EngineState::default()
        };
        assert_eq!(container_state(&state), ContainerState::Exited(137));
        assert_eq!(health(&state), Health::None);
    }
}
