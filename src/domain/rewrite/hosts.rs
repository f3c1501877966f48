//! Names of services within their branch: `drey.host`, `drey.alias.N`, and what former names come to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::discovered::DiscoveredService;
use super::error::RewriteError;
use super::labels::{bad_label, label};
use super::spoken::Spoken;
use crate::domain::interlock::ForeignHost;
use crate::domain::path::PathPrefix;
use crate::domain::slug;

const HOST: &str = "drey.host";
const ALIAS: &str = "drey.alias";
const BAD_NAME: &str = "must be up to 21 of a-z, 0-9 and single dashes";

/// Where a service asks to be.
pub(super) struct Asked {
    /// Empty: at the branch's own name. None: it gets a name by its own.
    pub(super) label: Option<String>,
    pub(super) aliases: Vec<String>,
}

/// What all services with labels or former names ask for.
pub(super) fn asked(spoken: &Spoken, primary: &str) -> Result<BTreeMap<String, Asked>, RewriteError> {
    let parts = parts(spoken, primary);
    let mut all = BTreeMap::new();
    for (name, service) in super::services_of(&spoken.document) {
        let former = spoken.hosts.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut former = former.iter().filter_map(|host| parts.get(&host.host).cloned());
        let first = former.next();
        let by_path = || label(service, "drey.path").map(|_| String::new());
        let label = match label(service, HOST).filter(|text| !text.is_empty()) {
            _ if name == primary => Some(String::new()),
            Some(text) => Some(checked(name, HOST, text)?),
            None => first.or_else(by_path),
        };
        let mut aliases = aliases(name, service)?;
        aliases.extend(former);
        aliases.retain(|alias| label.as_ref() != Some(alias));
        let mut known = BTreeSet::new();
        aliases.retain(|alias| known.insert(alias.clone()));
        all.insert(name.clone(), Asked { label, aliases });
    }
    Ok(all)
}

/// Former name → part of the name in the branch. The primary's own is the branch's.
fn parts(spoken: &Spoken, primary: &str) -> BTreeMap<String, String> {
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    let own = spoken.hosts.get(primary).and_then(|hosts| hosts.first());
    parts.extend(own.map(|own| (own.host.clone(), String::new())));
    let mut taken: BTreeSet<String> = BTreeSet::new();
    // First what services are called themselves: an alias gives way to it.
    let firsts = spoken.hosts.iter().filter_map(|(name, hosts)| Some((name, hosts.first()?)));
    let others =
        spoken.hosts.iter().flat_map(|(name, hosts)| hosts.iter().skip(1).map(move |host| (name, host)));
    for (service, ForeignHost { host, part }) in firsts.chain(others) {
        if parts.contains_key(host) {
            continue;
        }
        let short = slug::service_label(part.as_deref().unwrap_or(service));
        let name = if taken.contains(&short) { slug::service_label(host) } else { short };
        taken.insert(name.clone());
        parts.insert(host.clone(), name);
    }
    parts
}

/// `drey.alias` and `drey.alias.N`, in the order of the numbers.
fn aliases(name: &str, service: &Value) -> Result<Vec<String>, RewriteError> {
    let labels = service.get("labels").and_then(Value::as_object).into_iter().flatten();
    let mut numbered = Vec::new();
    for (key, value) in labels {
        let Some(rest) = key.strip_prefix(ALIAS) else { continue };
        let number =
            if rest.is_empty() { Some(0) } else { rest.strip_prefix('.').and_then(|it| it.parse().ok()) };
        let value = value.as_str().unwrap_or_default();
        let number: u64 = number.ok_or_else(|| bad_label(name, key, value, "must be drey.alias.NUMBER"))?;
        numbered.push((number, checked(name, key, value)?));
    }
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, alias)| alias).collect())
}

fn checked(service: &str, key: &str, text: &str) -> Result<String, RewriteError> {
    if slug::service_label(text) == text {
        return Ok(text.to_owned());
    }
    Err(bad_label(service, key, text, BAD_NAME))
}

/// Names for those that ask for none; no two services are at the same path of the same name. An alias that is no one's
/// wish but follows from a former name gives way to what is asked for.
pub(super) fn settle(
    services: &mut [DiscoveredService],
    unnamed: &BTreeSet<String>,
) -> Result<(), RewriteError> {
    let mut taken: BTreeMap<(String, PathPrefix), String> = BTreeMap::new();
    let named = services.iter().filter(|service| !unnamed.contains(&service.service));
    let hosts = named.clone().map(|service| (service, &service.label));
    let aliases =
        services.iter().flat_map(|service| service.aliases.iter().map(move |alias| (service, alias)));
    for (service, label) in hosts.chain(aliases) {
        let place = (label.clone(), service.path.clone());
        if let Some(other) =
            taken.insert(place, service.service.clone()).filter(|other| *other != service.service)
        {
            return Err(same_host(other, service, label));
        }
    }
    let names: Vec<&str> = unnamed.iter().map(String::as_str).collect();
    let mut labels = slug::service_labels(&names);
    for service in services.iter_mut().filter(|service| unnamed.contains(&service.service)) {
        let label = labels.remove(&service.service).unwrap_or_else(|| slug::service_label(&service.service));
        let is_taken = taken.keys().any(|(other, _)| *other == label);
        service.label = if is_taken { slug::hashed_service_label(&service.service) } else { label };
    }
    Ok(())
}

fn same_host(one: String, two: &DiscoveredService, label: &str) -> RewriteError {
    let place = match (label, two.path.is_root()) {
        ("", true) => "the branch's own name".to_owned(),
        ("", false) => format!("the branch's own name at {}", two.path),
        (label, true) => format!("{label:?}"),
        (label, false) => format!("{label:?} at {}", two.path),
    };
    RewriteError::SameHost { one, two: two.service.clone(), host: place }
}
