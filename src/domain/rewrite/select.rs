//! Only the services whose profile is started.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::RewriteError;
use super::{services_mut, services_of};

/// The document without the services whose profiles are not among `profiles`. Edges to them go where they are not
/// required.
///
/// # Errors
/// When a service that stays needs one that does not.
pub fn select(document: &Value, profiles: &[String]) -> Result<Value, RewriteError> {
    let mut document = document.clone();
    let everything = profiles.iter().any(|profile| profile == "*");
    let dropped: BTreeSet<String> = services_of(&document)
        .filter(|(_, service)| !everything && !is_active(service, profiles))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(services) = document.get_mut("services").and_then(Value::as_object_mut) {
        services.retain(|name, _| !dropped.contains(name));
    }
    for (name, service) in services_mut(&mut document) {
        let Some(service) = service.as_object_mut() else { continue };
        service.remove("profiles");
        let Some(needs) = service.get_mut("depends_on").and_then(Value::as_object_mut) else { continue };
        let required = |edge: &Value| edge.get("required").and_then(Value::as_bool).unwrap_or(true);
        if let Some((needed, _)) =
            needs.iter().find(|(needed, edge)| dropped.contains(*needed) && required(edge))
        {
            return Err(RewriteError::InactiveDependency { service: name.clone(), needed: needed.clone() });
        }
        needs.retain(|needed, _| !dropped.contains(needed));
    }
    Ok(document)
}

fn is_active(service: &Value, profiles: &[String]) -> bool {
    let Some(named) = service.get("profiles").and_then(Value::as_array).filter(|named| !named.is_empty())
    else {
        return true;
    };
    named.iter().filter_map(Value::as_str).any(|name| profiles.iter().any(|profile| profile == name))
}
