//! Bridge networks with a subnet of ours, and which subnets others have.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkDisconnectRequest, NetworkInspect};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptions};

use super::{CALL_LIMIT, DockerEngine, REMOVE_LIMIT, call, checked_name, error};
use crate::ports::{NetworkRequest, PortError, PortResult};

impl DockerEngine {
    /// IPv4 subnets (CIDR) of every network of the engine, sorted: not to be given out.
    pub async fn host_subnets(&self) -> PortResult<Vec<String>> {
        let client = self.client()?;
        let networks =
            call("networks", CALL_LIMIT, client.list_networks(None::<ListNetworksOptions>)).await?;
        let mut subnets: Vec<String> = networks
            .into_iter()
            .filter_map(|network| network.ipam?.config)
            .flatten()
            .filter_map(|config| config.subnet)
            .filter(|subnet| !subnet.contains(':'))
            .collect();
        subnets.sort();
        subnets.dedup();
        Ok(subnets)
    }
}

/// Looks before it makes: engines below API 1.44 would make a second network of the same name.
pub(super) async fn create(client: &Docker, request: &NetworkRequest) -> PortResult<()> {
    let name = checked_name("network", &request.name)?;
    let what = format!("network {name}");
    if let Some(there) = inspect(client, name).await? {
        return same_or_refuse(&there, request);
    }
    let creation = client.create_network(creation(request));
    match tokio::time::timeout(CALL_LIMIT, creation).await {
        Ok(Ok(_response)) => Ok(()),
        Ok(Err(failure)) if error::code(&failure) == Some(409) => match inspect(client, name).await? {
            Some(there) => same_or_refuse(&there, request),
            None => Err(error::map(&what, failure)),
        },
        Ok(Err(failure)) => Err(creation_error(request, failure)),
        Err(_elapsed) => {
            Err(PortError::Transient(format!("{what}: the engine gave no answer to its creation")))
        }
    }
}

/// A container attached from outside keeps a network alive: whoever is still there is put out first.
pub(super) async fn remove(client: &Docker, name: &str) -> PortResult<()> {
    let name = checked_name("network", name)?;
    let what = format!("network {name}");
    match client.remove_network(name).await {
        Ok(()) => return Ok(()),
        Err(failure) if error::code(&failure) == Some(404) => return Ok(()),
        Err(failure) if has_endpoints(&failure) => {}
        Err(failure) => return Err(error::map(&what, failure)),
    }
    let Some(there) = inspect(client, name).await? else { return Ok(()) };
    for (id, endpoint) in there.containers.unwrap_or_default() {
        // An endpoint whose container is gone has an id of its own kind; then only the name helps.
        let container = if id.starts_with("ep-") { endpoint.name.unwrap_or(id) } else { id };
        let request = NetworkDisconnectRequest { container, force: Some(true) };
        match client.disconnect_network(name, request).await {
            Ok(()) => {}
            Err(failure) if error::code(&failure) == Some(404) => {}
            Err(failure) => return Err(error::map(&what, failure)),
        }
    }
    match call(&what, REMOVE_LIMIT, client.remove_network(name)).await {
        Err(PortError::NotFound(_)) => Ok(()),
        // Somebody came back between the two calls: the next try puts them out again.
        Err(PortError::Permanent(reason)) if reason.contains("active endpoints") => {
            Err(PortError::Transient(reason))
        }
        other => other,
    }
}

async fn inspect(client: &Docker, name: &str) -> PortResult<Option<NetworkInspect>> {
    let what = format!("network {name}");
    match call(&what, CALL_LIMIT, client.inspect_network(name, None::<InspectNetworkOptions>)).await {
        // The engine also finds networks by the beginning of their id.
        Ok(there) => Ok(Some(there).filter(|there| there.name.as_deref() == Some(name))),
        Err(PortError::NotFound(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

fn creation(request: &NetworkRequest) -> NetworkCreateRequest {
    let options =
        request.mtu.map(|mtu| HashMap::from([("com.docker.network.driver.mtu".to_owned(), mtu.to_string())]));
    let subnet = IpamConfig { subnet: Some(request.subnet.clone()), ..IpamConfig::default() };
    NetworkCreateRequest {
        name: request.name.clone(),
        driver: Some("bridge".to_owned()),
        internal: Some(request.internal),
        enable_ipv6: Some(false),
        ipam: Some(Ipam {
            driver: Some("default".to_owned()),
            config: Some(vec![subnet]),
            ..Ipam::default()
        }),
        options,
        labels: Some(request.labels.clone().into_iter().collect()),
        ..NetworkCreateRequest::default()
    }
}

fn same_or_refuse(there: &NetworkInspect, request: &NetworkRequest) -> PortResult<()> {
    let empty = HashMap::new();
    let labels = there.labels.as_ref().unwrap_or(&empty);
    let differing = request.labels.iter().find(|(key, value)| labels.get(*key) != Some(value));
    match differing {
        None => Ok(()),
        Some((key, value)) => Err(PortError::Permanent(format!(
            "network {name} is there already with other labels ({key} is {found:?}, wanted {value:?}); \
             remove it with `docker network rm {name}`",
            name = request.name,
            found = labels.get(key).map_or("absent", String::as_str),
        ))),
    }
}

fn creation_error(request: &NetworkRequest, failure: EngineError) -> PortError {
    let what = format!("network {}", request.name);
    let text = failure.to_string().to_ascii_lowercase();
    if text.contains("overlap") {
        return PortError::Permanent(format!(
            "{what}: the subnet {} is taken by another network of this machine; \
             set engine.subnets to a range that nothing else uses",
            request.subnet
        ));
    }
    error::map(&what, failure)
}

fn has_endpoints(failure: &EngineError) -> bool {
    failure.to_string().contains("active endpoints")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn request() -> NetworkRequest {
        NetworkRequest {
            name: "drey-abc123-4-x_default".to_owned(),
            subnet: "10.213.0.0/27".to_owned(),
            internal: false,
            mtu: Some(1400),
            labels: BTreeMap::from([("drey.managed".to_owned(), "true".to_owned())]),
        }
    }

    #[test]
    fn a_network_of_other_labels_is_not_taken_over() {
        let with = |labels: &[(&str, &str)]| NetworkInspect {
            labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..NetworkInspect::default()
        };
        assert!(same_or_refuse(&with(&[("drey.managed", "true"), ("more", "1")]), &request()).is_ok());
        let refused = same_or_refuse(&with(&[]), &request()).unwrap_err().to_string();
        assert!(refused.contains("drey.managed") && refused.contains("docker network rm"), "{refused}");
    }

    #[test]
    fn an_overlap_names_the_setting() {
        let failure = EngineError::DockerResponseServerError {
            status_code: 403,
            message: "invalid pool request: Pool overlaps with other one on this address space".to_owned(),
        };
        let error = creation_error(&request(), failure);
        assert!(matches!(error, PortError::Permanent(_)));
        assert!(error.to_string().contains("engine.subnets"), "{error}");
    }

    #[test]
    fn the_request_carries_subnet_and_mtu() {
        let made = creation(&request());
        assert_eq!(made.options.unwrap()["com.docker.network.driver.mtu"], "1400");
        assert_eq!(made.ipam.unwrap().config.unwrap()[0].subnet.as_deref(), Some("10.213.0.0/27"));
    }
}
