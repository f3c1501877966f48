//! Which service is the primary, which ports are routed, under which names.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::discovered::{Discovered, DiscoveredService, host_service, network_mode};
use super::error::RewriteError;
use super::hosts::{self, Asked};
use super::labels::{bad_label, flag, label};
use super::primary::primary;
use super::spoken::Spoken;
use super::{scrape, services_of, upstream};
use crate::domain::duration::parse_duration;
use crate::domain::observed::ImageFacts;
use crate::domain::path::PathPrefix;
use crate::domain::route::Scheme;
use crate::domain::stack::ReadinessSpec;

/// Of several ports the first of these that is there.
const PREFERRED_PORTS: [u16; 5] = [80, 8080, 8000, 3000, 5000];
/// A start that takes longer is none; until then nobody has looked at what runs.
const LONGEST_WITHIN: Duration = Duration::from_secs(60 * 60);
/// Deadline over `up` and probing when no service says otherwise.
const DEFAULT_WITHIN_SECONDS: u64 = 120;

/// Finds the routes. `images` may be empty: then images' own `EXPOSE` decides nothing.
///
/// # Errors
/// When no primary can be told, its port is unknown, or a label's value is no good.
pub fn discover(document: &Value, images: &BTreeMap<String, ImageFacts>) -> Result<Discovered, RewriteError> {
    scrape::check(document)?;
    let spoken = Spoken::read(document)?;
    let document = &spoken.document;
    let primary = primary(&spoken, images)?;
    if network_mode(document, host_service(document, &primary)) == Some("none") {
        return Err(RewriteError::NoNetwork(primary));
    }
    let asked = hosts::asked(&spoken, &primary)?;
    let mut services = vec![found(document, images, (&primary, true), &asked)?];
    for (name, service) in services_of(document).filter(|(name, _)| **name != primary) {
        // What was routed before is routed by the port of its image too, once that is there.
        let image = spoken.hosts.get(name).and_then(|_| images.get(name));
        let has_port = label(service, "drey.port").is_some() || !ports_of(service, image).is_empty();
        if has_port && network_mode(document, host_service(document, name)) != Some("none") {
            services.push(found(document, images, (name, spoken.hosts.contains_key(name)), &asked)?);
        }
    }
    let is_unnamed =
        |service: &&DiscoveredService| asked.get(&service.service).is_some_and(|asked| asked.label.is_none());
    let unnamed = services.iter().filter(is_unnamed).map(|service| service.service.clone()).collect();
    hosts::settle(&mut services, &unnamed)?;
    let readiness = readiness(document, &primary)?;
    Ok(Discovered { services, readiness })
}

fn found(
    document: &Value,
    images: &BTreeMap<String, ImageFacts>,
    (name, by_image): (&str, bool),
    asked: &BTreeMap<String, Asked>,
) -> Result<DiscoveredService, RewriteError> {
    let service = document.get("services").and_then(|services| services.get(name)).unwrap_or(&Value::Null);
    let port = match label(service, "drey.port") {
        Some(text) => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| bad_label(name, "drey.port", text, "must be a port from 1 to 65535"))?,
        None => {
            let ports = ports_of(service, by_image.then(|| images.get(name)).flatten());
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
    let manner = upstream::manner(name, service, scheme)?;
    let asked = asked.get(name);
    Ok(DiscoveredService {
        service: name.to_owned(),
        port,
        scheme,
        label: asked.and_then(|asked| asked.label.clone()).unwrap_or_default(),
        aliases: asked.map(|asked| asked.aliases.clone()).unwrap_or_default(),
        path: path(name, service)?,
        strip_path: flag(name, service, "drey.strip-path")?.unwrap_or(false),
        network: label(service, "drey.network").map(str::to_owned),
        manner,
    })
}

fn path(name: &str, service: &Value) -> Result<PathPrefix, RewriteError> {
    let Some(text) = label(service, "drey.path") else { return Ok(PathPrefix::default()) };
    PathPrefix::parse(text).map_err(|error| bad_label(name, "drey.path", text, error.0))
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
