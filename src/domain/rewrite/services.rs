//! Services: image, environment, labels; and what readiness needs to know of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{RewriteContext, services_mut, services_of};
use crate::domain::dollars::escaped;
use crate::domain::stack::{Condition, Service};

/// What drey replaces or decides itself, whatever the policy left of it.
const DROPPED: [&str; 10] = [
    "build",
    "container_name",
    "ports",
    "expose",
    "profiles",
    "develop",
    "deploy",
    "scale",
    "pull_policy",
    "extends",
];

pub(super) fn rewrite(document: &mut Value, context: &RewriteContext<'_>) {
    keep_names_as_aliases(document, context.names);
    for (name, service) in services_mut(document) {
        let replicas = replicas(service);
        let Some(service) = service.as_object_mut() else { continue };
        service.retain(|key, _| !DROPPED.contains(&key.as_str()) && !key.starts_with("x-"));
        if let Some(tag) = context.tags.get(name) {
            service.insert("image".to_owned(), json!(tag));
        }
        if replicas != 1 {
            service.insert("scale".to_owned(), json!(replicas));
        }
        if let Some(parent) = context.cgroup_parent {
            service.insert("cgroup_parent".to_owned(), json!(parent));
        }
        service.insert("pull_policy".to_owned(), json!("never"));
        let environment = service.entry("environment").or_insert_with(|| json!({}));
        set_environment(environment, context.variables);
        let labels = service.entry("labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.extend(context.labels.iter().map(|(key, value)| (key.clone(), json!(escaped(value)))));
            labels.insert("drey.service".to_owned(), json!(name));
        }
    }
}

/// A `container_name` cannot stay, but others of the file may call the service by it: it becomes an alias in the
/// networks of the service, unless a service has that name.
fn keep_names_as_aliases(document: &mut Value, names: &BTreeMap<String, String>) {
    let services: BTreeSet<String> = services_of(document).map(|(name, _)| name.clone()).collect();
    for (service_name, service) in services_mut(document) {
        let Some(name) = names.get(service_name) else { continue };
        let is_host =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if services.contains(name)
            || !is_host
            || service.get("network_mode").is_some_and(|mode| !mode.is_null())
        {
            continue;
        }
        let Some(service) = service.as_object_mut() else { continue };
        let networks = service.entry("networks").or_insert_with(|| json!({ "default": null }));
        for endpoint in networks.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if endpoint.is_null() {
                *endpoint = json!({});
            }
            let aliases = endpoint.as_object_mut().map(|it| it.entry("aliases").or_insert_with(|| json!([])));
            if let Some(aliases) = aliases.and_then(Value::as_array_mut)
                && !aliases.contains(&json!(name))
            {
                aliases.push(json!(name));
            }
        }
    }
}

/// Adds drey's values over the file's; a name without a value would be filled from whoever runs compose.
fn set_environment(environment: &mut Value, variables: &BTreeMap<String, String>) {
    let Some(environment) = environment.as_object_mut() else { return };
    environment.retain(|_, value| !value.is_null());
    environment.extend(variables.iter().map(|(key, value)| (key.clone(), json!(escaped(value)))));
}

pub(super) fn replicas(service: &Value) -> u32 {
    let from_deploy = service.get("deploy").and_then(|deploy| deploy.get("replicas"));
    let number = service.get("scale").or(from_deploy).and_then(Value::as_u64);
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(1)
}

pub(super) fn facts(document: &Value, context: &RewriteContext<'_>) -> BTreeMap<String, Service> {
    services_of(document).map(|(name, service)| (name.clone(), fact(name, service, context))).collect()
}

fn fact(name: &str, service: &Value, context: &RewriteContext<'_>) -> Service {
    let check = service.get("healthcheck").and_then(Value::as_object);
    let disabled = check.is_some_and(|check| {
        let none = check
            .get("test")
            .and_then(Value::as_array)
            .is_some_and(|test| test.first() == Some(&json!("NONE")));
        none || check.get("disable") == Some(&json!(true))
    });
    let own_check = check.is_some_and(|check| check.contains_key("test")) && !disabled;
    let image_check = context.facts.get(name).is_some_and(|facts| facts.has_health_check) && !disabled;
    Service {
        image: service.get("image").and_then(Value::as_str).unwrap_or_default().to_owned(),
        replicas: replicas(service),
        has_health_check: own_check || image_check,
        may_complete: context.completing.iter().any(|completing| completing == name),
        depends_on: service.get("depends_on").and_then(Value::as_object).map(conditions).unwrap_or_default(),
    }
}

fn conditions(needs: &Map<String, Value>) -> BTreeMap<String, Condition> {
    let condition = |edge: &Value| match edge.get("condition").and_then(Value::as_str) {
        Some("service_healthy") => Condition::ServiceHealthy,
        Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
        Some(_) | None => Condition::ServiceStarted,
    };
    needs.iter().map(|(name, edge)| (name.clone(), condition(edge))).collect()
}

/// Whether exit code 0 is the service's proper end: the file says `restart: no` or `on-failure`, or another service
/// waits for its completion. Asked of the document as Compose rendered it, before anything is dropped.
pub fn may_complete(document: &Value, name: &str) -> bool {
    let awaited = services_of(document).any(|(_, other)| {
        let edge = other.get("depends_on").and_then(|needs| needs.get(name));
        edge.and_then(|edge| edge.get("condition")) == Some(&json!("service_completed_successfully"))
    });
    awaited || matches!(written_restart(document, name), Some("no" | "on-failure"))
}

/// The restart policy that drey gives the service.
pub fn restart_policy(document: &Value, name: &str) -> &'static str {
    match (may_complete(document, name), written_restart(document, name)) {
        (true, Some("on-failure")) => "on-failure:3",
        (true, _) => "no",
        (false, _) => "unless-stopped",
    }
}

fn written_restart<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    let service = document.get("services")?.get(name)?;
    let from_deploy = || match service.get("deploy")?.get("restart_policy")?.get("condition")?.as_str()? {
        "none" => Some("no"),
        other => Some(other),
    };
    let written = service.get("restart").and_then(Value::as_str).or_else(from_deploy)?;
    Some(written.split(':').next().unwrap_or(written))
}
