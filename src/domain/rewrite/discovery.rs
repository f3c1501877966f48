//! Which service is the primary, which ports are routed, under which names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::error::RewriteError;
use super::labels::{bad_label, label};
use super::{scrape, services_of, upstream};
use crate::domain::backend::Manner;
use crate::domain::duration::parse_duration;
use crate::domain::observed::ImageFacts;
use crate::domain::route::Scheme;
use crate::domain::slug;
use crate::domain::stack::{NetworkSpec, ReadinessSpec, RouteSpec};

/// Names that make a service the primary, in this order; digits at the end are ignored.
const PRIMARY_NAMES: [&str; 4] = ["web", "app", "frontend", "www"];
/// Of several ports the first of these that is there.
const PREFERRED_PORTS: [u16; 5] = [80, 8080, 8000, 3000, 5000];
/// A start that takes longer is none; until then nobody has looked at what runs.
const LONGEST_WITHIN: Duration = Duration::from_secs(60 * 60);
/// Deadline over `up` and probing when no service says otherwise.
const DEFAULT_WITHIN_SECONDS: u64 = 120;

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
    /// Empty for the primary.
    pub label: String,
    pub manner: Manner,
}

impl Discovered {
    pub(super) fn routes(
        &self,
        networks: &[NetworkSpec],
        document: &Value,
        authorities: &BTreeMap<String, String>,
    ) -> Result<Vec<RouteSpec>, RewriteError> {
        self.services
            .iter()
            .map(|found| {
                let host = host_service(document, &found.service);
                Ok(RouteSpec {
                    service: found.service.clone(),
                    port: found.port,
                    scheme: found.scheme,
                    label: found.label.clone(),
                    network: route_network(document, host, networks),
                    host_service: (host != found.service).then(|| host.to_owned()),
                    manner: upstream::with_authority(&found.service, &found.manner, authorities)?,
                })
            })
            .collect()
    }
}

/// Finds the routes. `images` may be empty: then images' own `EXPOSE` decides nothing.
///
/// # Errors
/// When no primary can be told, its port is unknown, or a label's value is no good.
pub fn discover(document: &Value, images: &BTreeMap<String, ImageFacts>) -> Result<Discovered, RewriteError> {
    scrape::check(document)?;
    let primary = primary(document, images)?;
    if network_mode(document, host_service(document, &primary)) == Some("none") {
        return Err(RewriteError::NoNetwork(primary));
    }
    let mut services = vec![found(document, images, &primary, true)?];
    let others: Vec<&str> = services_of(document)
        .filter(|(name, service)| {
            **name != primary
                && network_mode(document, host_service(document, name)) != Some("none")
                && (label(service, "drey.port").is_some() || !ports_of(service, None).is_empty())
        })
        .map(|(name, _)| name.as_str())
        .collect();
    let mut others =
        others.into_iter().map(|name| found(document, images, name, false)).collect::<Result<Vec<_>, _>>()?;
    name_hosts(&mut others)?;
    services.extend(others);
    let readiness = readiness(document, &primary)?;
    Ok(Discovered { services, readiness })
}

/// Hostname parts for those that name none; no two services have the same.
fn name_hosts(services: &mut [DiscoveredService]) -> Result<(), RewriteError> {
    let mut asked: BTreeMap<String, String> = BTreeMap::new();
    for service in services.iter().filter(|service| !service.label.is_empty()) {
        if let Some(other) = asked.insert(service.label.clone(), service.service.clone()) {
            return Err(RewriteError::SameHost {
                one: other,
                two: service.service.clone(),
                host: service.label.clone(),
            });
        }
    }
    let unnamed: Vec<&str> = services
        .iter()
        .filter(|service| service.label.is_empty())
        .map(|service| service.service.as_str())
        .collect();
    let mut labels = slug::service_labels(&unnamed);
    for service in services.iter_mut().filter(|service| service.label.is_empty()) {
        let label = labels.remove(&service.service).unwrap_or_else(|| slug::service_label(&service.service));
        let is_taken = asked.contains_key(&label);
        service.label = if is_taken { slug::hashed_service_label(&service.service) } else { label };
    }
    Ok(())
}

/// The service that is the primary by its name alone.
pub(super) fn primary_by_name<'a>(names: &[&'a str]) -> Option<&'a str> {
    PRIMARY_NAMES.into_iter().find_map(|wanted| {
        names.iter().copied().filter(|name| base_name(name) == wanted).min_by_key(|name| (name.len(), *name))
    })
}

fn primary(document: &Value, images: &BTreeMap<String, ImageFacts>) -> Result<String, RewriteError> {
    let labelled: Vec<&String> = services_of(document)
        .filter(|(_, service)| label(service, "drey.primary").is_some_and(|value| value == "true"))
        .map(|(name, _)| name)
        .collect();
    match labelled.as_slice() {
        [one] => return Ok((*one).clone()),
        [] => {}
        [_, second, ..] => return Err(RewriteError::SeveralPrimaries((*second).clone())),
    }
    let names: Vec<&str> = services_of(document).map(|(name, _)| name.as_str()).collect();
    if let Some(named) = primary_by_name(&names) {
        return Ok(named.to_owned());
    }
    let has = |key: &str| -> Vec<String> {
        let filled =
            |service: &Value| service.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        services_of(document).filter(|(_, service)| filled(service)).map(|(name, _)| name.clone()).collect()
    };
    let exposed = || -> Vec<String> {
        let opens = |name: &String| images.get(name).is_some_and(|facts| !facts.exposed_ports.is_empty());
        services_of(document).filter(|(name, _)| opens(name)).map(|(name, _)| name.clone()).collect()
    };
    for candidates in [has("ports"), has("expose"), exposed()] {
        match candidates.as_slice() {
            [] => {}
            [one] => return Ok(one.clone()),
            [_, _, ..] => return Err(no_primary("several could be it", &candidates)),
        }
    }
    let all: Vec<String> = services_of(document).map(|(name, _)| name.clone()).collect();
    Err(no_primary("none has `ports` or `expose`", &all))
}

fn no_primary(reason: &str, candidates: &[String]) -> RewriteError {
    RewriteError::NoPrimary { reason: reason.to_owned(), candidates: candidates.join(", ") }
}

/// `web.1`, `web-1`, `web1` → `web`.
fn base_name(name: &str) -> &str {
    let without_digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if without_digits.len() == name.len() {
        return name;
    }
    without_digits.strip_suffix(['.', '_', '-']).unwrap_or(without_digits)
}

fn found(
    document: &Value,
    images: &BTreeMap<String, ImageFacts>,
    name: &str,
    is_primary: bool,
) -> Result<DiscoveredService, RewriteError> {
    let service = document.get("services").and_then(|services| services.get(name)).unwrap_or(&Value::Null);
    let port = match label(service, "drey.port") {
        Some(text) => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| bad_label(name, "drey.port", text, "must be a port from 1 to 65535"))?,
        None => {
            let ports = ports_of(service, is_primary.then(|| images.get(name)).flatten());
            best_port(&ports).ok_or_else(|| RewriteError::NoPort(name.to_owned()))?
        }
    };
    let scheme = match label(service, "drey.scheme") {
        None | Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some("h2c") => Scheme::H2c,
        Some("tcp") => Scheme::Tcp,
        Some(other) => return Err(bad_label(name, "drey.scheme", other, "must be http, https, h2c or tcp")),
    };
    let label = match label(service, "drey.host") {
        None | Some("") => String::new(),
        Some(_) if is_primary => String::new(),
        Some(host) if slug::service_label(host) == host => host.to_owned(),
        Some(host) => {
            return Err(bad_label(name, "drey.host", host, "must be up to 21 of a-z, 0-9 and single dashes"));
        }
    };
    let manner = upstream::manner(name, service, scheme)?;
    Ok(DiscoveredService { service: name.to_owned(), port, scheme, label, manner })
}

fn best_port(ports: &[u16]) -> Option<u16> {
    PREFERRED_PORTS.into_iter().find(|port| ports.contains(port)).or_else(|| ports.first().copied())
}

/// Ports in the order of the file: `ports`, else `expose`, else the image's own.
fn ports_of(service: &Value, image: Option<&ImageFacts>) -> Vec<u16> {
    let list = |key: &str| service.get(key).and_then(Value::as_array).into_iter().flatten();
    let is_tcp = |port: &&Value| port.get("protocol").and_then(Value::as_str).is_none_or(|it| it == "tcp");
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let published: Vec<u16> =
        list("ports").filter(is_tcp).filter_map(|port| port.get("target").and_then(number)).collect();
    if !published.is_empty() {
        return published;
    }
    let exposed: Vec<u16> = list("expose").filter_map(exposed_port).collect();
    if !exposed.is_empty() {
        return exposed;
    }
    image.map(|facts| facts.exposed_ports.clone()).unwrap_or_default()
}

/// `8080`, `"8080"`, `"8080/tcp"`, the first of `"3000-3005"`.
fn exposed_port(value: &Value) -> Option<u16> {
    if let Some(number) = value.as_u64() {
        return u16::try_from(number).ok();
    }
    let (port, protocol) = value.as_str()?.split_once('/').unwrap_or((value.as_str()?, "tcp"));
    (protocol == "tcp").then(|| port.split('-').next()?.parse().ok()).flatten()
}

fn readiness(document: &Value, primary: &str) -> Result<ReadinessSpec, RewriteError> {
    let mut spec = ReadinessSpec { path: "/".to_owned(), within_seconds: DEFAULT_WITHIN_SECONDS };
    let mut longest = None;
    for (name, service) in services_of(document) {
        if let Some(text) = label(service, "drey.ready.within") {
            let within = parse_duration(text).map_err(|_unreadable| {
                bad_label(name, "drey.ready.within", text, "must be a time such as 90s or 5m")
            })?;
            if within > LONGEST_WITHIN {
                return Err(bad_label(name, "drey.ready.within", text, "must be an hour at most"));
            }
            longest = longest.max(Some(within.as_secs().max(1)));
        }
        if let Some(path) = label(service, "drey.ready.path").filter(|_| name == primary) {
            if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(bad_label(name, "drey.ready.path", path, "must be a path that begins with /"));
            }
            path.clone_into(&mut spec.path);
        }
    }
    spec.within_seconds = longest.unwrap_or(spec.within_seconds);
    Ok(spec)
}

/// The service in whose network name space this one lives; mostly itself.
fn host_service<'a>(document: &'a Value, service: &'a str) -> &'a str {
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

fn network_mode<'a>(document: &'a Value, service: &str) -> Option<&'a str> {
    document.get("services")?.get(service)?.get("network_mode")?.as_str()
}

/// The network through which the proxy reaches a service: `default`, else the first that leads out, else the first.
fn route_network(document: &Value, service: &str, networks: &[NetworkSpec]) -> String {
    let joined = document
        .get("services")
        .and_then(|services| services.get(service)?.get("networks")?.as_object())
        .filter(|joined| !joined.is_empty());
    let candidates: Vec<&NetworkSpec> = networks
        .iter()
        .filter(|network| joined.map_or(network.key == "default", |joined| joined.contains_key(&network.key)))
        .collect();
    let chosen = candidates
        .iter()
        .find(|network| network.key == "default")
        .or_else(|| candidates.iter().find(|network| !network.internal))
        .or_else(|| candidates.first());
    chosen.map(|network| network.name.clone()).unwrap_or_default()
}
