//! Through which network a service is reached.

use serde_json::Value;

use super::error::RewriteError;
use crate::domain::stack::NetworkSpec;

/// Engine name of the network through which the proxy reaches the service: the one it asks for, else `default`, else the
/// first that leads out, else the first. `reached` is the service and the one whose network name space it lives in.
///
/// # Errors
/// When it asks for one that it has not joined.
pub(super) fn of_route(
    document: &Value,
    (service, host): (&str, &str),
    asked: Option<&str>,
    networks: &[NetworkSpec],
) -> Result<String, RewriteError> {
    let joined = document
        .get("services")
        .and_then(|services| services.get(host)?.get("networks")?.as_object())
        .filter(|joined| !joined.is_empty());
    let candidates: Vec<&NetworkSpec> = networks
        .iter()
        .filter(|network| joined.map_or(network.key == "default", |joined| joined.contains_key(&network.key)))
        .collect();
    if let Some(asked) = asked {
        let found = candidates.iter().find(|network| network.key == asked);
        return found.map(|network| network.name.clone()).ok_or_else(|| RewriteError::Network {
            service: service.to_owned(),
            network: asked.to_owned(),
            candidates: candidates.iter().map(|network| network.key.as_str()).collect::<Vec<_>>().join(", "),
        });
    }
    let chosen = candidates
        .iter()
        .find(|network| network.key == "default")
        .or_else(|| candidates.iter().find(|network| !network.internal))
        .or_else(|| candidates.first());
    Ok(chosen.map(|network| network.name.clone()).unwrap_or_default())
}
