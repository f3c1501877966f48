//! What was found of a document's routes, and the routes of the stack that follow from it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::RewriteError;
use super::{network, upstream};
use crate::domain::backend::Manner;
use crate::domain::path::PathPrefix;
use crate::domain::route::Scheme;
use crate::domain::stack::{NetworkSpec, ReadinessSpec, RouteSpec};

/// What a document says about its routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The primary first, then by name.
    pub services: Vec<DiscoveredService>,
    pub readiness: ReadinessSpec,
}

/// A service that gets a hostname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredService {
    pub service: String,
    pub port: u16,
    pub scheme: Scheme,
    /// Empty at the branch's own name: for the primary, and for those that share it by their paths.
    pub label: String,
    /// Further names, as `label`.
    pub aliases: Vec<String>,
    pub path: PathPrefix,
    /// The service sees its paths without `path`.
    pub strip_path: bool,
    /// Key of the network through which it is to be reached.
    pub network: Option<String>,
    pub manner: Manner,
}

impl Discovered {
    pub(super) fn routes(
        &self,
        networks: &[NetworkSpec],
        document: &Value,
        authorities: &BTreeMap<String, String>,
    ) -> Result<Vec<RouteSpec>, RewriteError> {
        let mut routes = Vec::new();
        for found in &self.services {
            let host = host_service(document, &found.service);
            let route = RouteSpec {
                service: found.service.clone(),
                port: found.port,
                scheme: found.scheme,
                label: found.label.clone(),
                path: found.path.clone(),
                strip_path: found.strip_path,
                network: network::of_route(
                    document,
                    (&found.service, host),
                    found.network.as_deref(),
                    networks,
                )?,
                host_service: (host != found.service).then(|| host.to_owned()),
                manner: upstream::with_authority(&found.service, &found.manner, authorities)?,
            };
            let alias = |label: &String| RouteSpec { label: label.clone(), ..route.clone() };
            let aliases: Vec<RouteSpec> = found.aliases.iter().map(alias).collect();
            routes.push(route);
            routes.extend(aliases);
        }
        Ok(routes)
    }
}

/// The service in whose network name space this one lives; mostly itself.
pub(super) fn host_service<'a>(document: &'a Value, service: &'a str) -> &'a str {
    let mut seen = BTreeSet::new();
    let mut host = service;
    while seen.insert(host) {
        match network_mode(document, host).and_then(|mode| mode.strip_prefix("service:")) {
            Some(next) => host = next,
            None => break,
        }
    }
    host
}

pub(super) fn network_mode<'a>(document: &'a Value, service: &str) -> Option<&'a str> {
    document.get("services")?.get(service)?.get("network_mode")?.as_str()
}
