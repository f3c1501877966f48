//! All projects at once: what one daemon has, at a glance, and what of the whole engine may be a drey's.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, Network, Volume};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};

use super::observe::{INSTANCE_LABEL, PROJECT_LABEL};
use super::volumes::CARRIER_LABEL;
use super::{CALL_LIMIT, DockerEngine, call};
use crate::domain::names::{InstanceId, ProjectName};
use crate::domain::observed::Glance;
use crate::domain::orphans::{Claim, Kind};
use crate::ports::PortResult;

/// What every drey begins its names on the engine with.
const NAME: &str = "drey-";

type Filters = HashMap<&'static str, Vec<String>>;

impl DockerEngine {
    /// Three lists of what this instance's label is on; nothing is inspected.
    pub(super) async fn glance(&self, instance: &InstanceId) -> PortResult<Glance> {
        let filters = HashMap::from([("label", vec![format!("{INSTANCE_LABEL}={instance}")])]);
        let (containers, networks, volumes) = self.lists(&filters).await?;
        let prefix = ProjectName::prefix(instance);
        let mut glance = Glance::default();
        let mut add = |labels: Option<&HashMap<String, String>>, line: String| {
            let project = labels.and_then(|labels| labels.get(PROJECT_LABEL));
            if let Some(project) = project.filter(|project| project.starts_with(&prefix)) {
                glance.add(ProjectName::from_stored(project.clone()), line);
            }
        };
        for container in &containers {
            add(container.labels.as_ref(), container_line(container));
        }
        for network in &networks {
            let id = network.id.as_deref().unwrap_or_default();
            add(network.labels.as_ref(), format!("network {id}"));
        }
        for volume in &volumes {
            add(Some(&volume.labels), format!("volume {}", volume.name));
        }
        Ok(glance)
    }

    /// Everything whose name or label says that a drey made it.
    pub(super) async fn claims(&self) -> PortResult<Vec<Claim>> {
        let (containers, networks, volumes) = self.lists(&HashMap::new()).await?;
        let containers = containers.into_iter().filter_map(|container| {
            let names = container.names.unwrap_or_default();
            let names: Vec<&str> = names.iter().map(|name| own_name(name)).collect();
            let name = names.iter().find(|name| name.starts_with(NAME)).or(names.first())?;
            claim(Kind::Container, container.id?, name, &container.labels.unwrap_or_default())
        });
        let networks = networks.into_iter().filter_map(|network| {
            let name = network.name?;
            claim(Kind::Network, name.clone(), &name, &network.labels.unwrap_or_default())
        });
        let volumes = volumes
            .into_iter()
            .filter_map(|volume| claim(Kind::Volume, volume.name.clone(), &volume.name, &volume.labels));
        let mut claims: Vec<Claim> = containers.chain(networks).chain(volumes).collect();
        claims.sort();
        Ok(claims)
    }

    async fn lists(
        &self,
        filters: &Filters,
    ) -> PortResult<(Vec<ContainerSummary>, Vec<Network>, Vec<Volume>)> {
        let client = self.client()?;
        let containers = ListContainersOptionsBuilder::new().all(true).filters(filters).build();
        let networks = ListNetworksOptionsBuilder::new().filters(filters).build();
        let volumes = ListVolumesOptionsBuilder::new().filters(filters).build();
        let lists = tokio::try_join!(
            call("containers", CALL_LIMIT, client.list_containers(Some(containers))),
            call("networks", CALL_LIMIT, client.list_networks(Some(networks))),
            call("volumes", CALL_LIMIT, client.list_volumes(Some(volumes))),
        );
        let (containers, networks, volumes) = lists.map_err(|error| self.name_absence(error))?;
        Ok((containers, networks, volumes.volumes.unwrap_or_default()))
    }
}

/// Which one, whether it runs, where it is reached.
fn container_line(container: &ContainerSummary) -> String {
    let mut line = format!("container {}", container.id.as_deref().unwrap_or_default());
    let state = container.state.unwrap_or(ContainerSummaryStateEnum::EMPTY);
    line.push_str(&format!(" {state}"));
    let networks = container.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut places: Vec<String> = networks
        .into_iter()
        .flatten()
        .map(|(name, place)| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            let (v4, v6) = (part(&place.ip_address), part(&place.global_ipv6_address));
            format!(" {name}={v4}/{v6}/{}", part(&place.network_id))
        })
        .collect();
    places.sort();
    line.push_str(&places.concat());
    line
}

/// While it is replaced, compose calls the old one `<12 hex digits>_<name>`.
fn own_name(name: &str) -> &str {
    let name = name.trim_start_matches('/');
    match name.split_once('_') {
        Some((id, rest)) if id.len() == 12 && rest.starts_with(NAME) => rest,
        _ => name,
    }
}

fn claim(kind: Kind, id: String, name: &str, labels: &HashMap<String, String>) -> Option<Claim> {
    let instance = labels.get(INSTANCE_LABEL).cloned();
    if instance.is_none() && !name.starts_with(NAME) {
        return None;
    }
    let is_carrier = labels.contains_key(CARRIER_LABEL);
    Some(Claim { kind, id, name: name.to_owned(), instance, is_carrier })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary(state: &str, address: &str) -> ContainerSummary {
        let value = json!({ "Id": "ff", "State": state, "Status": "Up 3 seconds", "NetworkSettings": {
            "Networks": { "p_default": { "IPAddress": address, "NetworkID": "aa" }, "p_back": {} } } });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_line_changes_with_state_and_address_and_with_nothing_else() {
        let line = container_line(&summary("running", "10.0.0.2"));
        assert_eq!(line, "container ff running p_back=// p_default=10.0.0.2//aa");
        assert_ne!(line, container_line(&summary("paused", "10.0.0.2")));
        assert_ne!(line, container_line(&summary("running", "10.0.0.3")));
        let later =
            ContainerSummary { status: Some("Up 4 seconds".into()), ..summary("running", "10.0.0.2") };
        assert_eq!(line, container_line(&later));
    }

    #[test]
    fn only_what_says_that_a_drey_made_it_is_a_claim() {
        let labels = |instance: &str| HashMap::from([(INSTANCE_LABEL.to_owned(), instance.to_owned())]);
        assert_eq!(claim(Kind::Volume, "x".into(), "somebodys", &HashMap::new()), None);
        let labelled = claim(Kind::Volume, "x".into(), "somebodys", &labels("abc123")).unwrap();
        assert_eq!(labelled.instance.as_deref(), Some("abc123"));
        assert_eq!(own_name("/0123456789ab_drey-abc123-4-x-web-1"), "drey-abc123-4-x-web-1");
        assert_eq!(own_name("/happy_einstein"), "happy_einstein");
    }
}
