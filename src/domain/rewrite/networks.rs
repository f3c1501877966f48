//! Networks: made by drey, one for each network of the file that a service is in, with a subnet of its own.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::RewriteContext;
use super::{services_mut, services_of};
use crate::domain::stack::NetworkSpec;

/// The option of the bridge driver that a file may set.
const MTU_OPTION: &str = "com.docker.network.driver.mtu";
/// What a service may say of its place in a network.
const ENDPOINT_KEYS: [&str; 4] = ["aliases", "priority", "gw_priority", "interface_name"];

/// Keys of the networks that services are in; `default` where a service names none.
pub fn network_keys(document: &Value) -> Vec<String> {
    let mut keys = BTreeSet::new();
    for (_, service) in services_of(document) {
        if service.get("network_mode").is_some_and(|mode| !mode.is_null()) {
            continue;
        }
        match service.get("networks").and_then(Value::as_object).filter(|networks| !networks.is_empty()) {
            Some(networks) => keys.extend(networks.keys().cloned()),
            None => {
                keys.insert("default".to_owned());
            }
        }
    }
    keys.into_iter().collect()
}

pub(super) fn rewrite(document: &mut Value, context: &RewriteContext<'_>) -> Vec<NetworkSpec> {
    let specs: Vec<NetworkSpec> =
        network_keys(document).into_iter().map(|key| spec(document, key, context)).collect();
    for (_, service) in services_mut(document) {
        for endpoint in
            service.get_mut("networks").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
        {
            if let Some(endpoint) = endpoint.as_object_mut() {
                endpoint.retain(|key, _| ENDPOINT_KEYS.contains(&key.as_str()));
            }
        }
    }
    let external: Map<String, Value> =
        specs.iter().map(|spec| (spec.key.clone(), json!({"name": spec.name, "external": true}))).collect();
    if let Some(top) = document.as_object_mut() {
        top.insert("networks".to_owned(), Value::Object(external));
    }
    specs
}

fn spec(document: &Value, key: String, context: &RewriteContext<'_>) -> NetworkSpec {
    let written = document.get("networks").and_then(|networks| networks.get(&key));
    let internal =
        written.and_then(|network| network.get("internal")).and_then(Value::as_bool).unwrap_or_default();
    let mtu = written
        .and_then(|network| network.get("driver_opts"))
        .and_then(|options| options.get(MTU_OPTION))
        .and_then(|mtu| mtu.as_str().map_or_else(|| mtu.as_u64()?.try_into().ok(), |text| text.parse().ok()));
    let definition = hex::encode(Sha256::digest(format!("{internal} {mtu:?}").as_bytes()));
    NetworkSpec {
        name: format!("{}_{key}", context.project),
        internal,
        mtu,
        subnet: context.subnets.get(&key).cloned().unwrap_or_default(),
        definition,
        key,
    }
}
