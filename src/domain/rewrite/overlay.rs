//! The overlay: limits and settings that drey puts on every service, from a template that operators may replace.

use serde_json::{Value, json};

use super::fit::{ServiceLimits, Share};
use super::{may_complete, restart_policy, services_of};
use crate::domain::duration::parse_duration;
use crate::domain::policy::requested_limits;

/// Values for the overlay template: `{services: [{name, memory, cpus, pids, job, restart, stop_grace}]}`. `rendered` is the
/// document as Compose resolved it, before limits and restart policies were dropped; `share` is for who asks for nothing.
pub fn overlay_values(rendered: &Value, limits: ServiceLimits, share: Share) -> Value {
    let services: Vec<Value> = services_of(rendered)
        .map(|(name, service)| {
            let asked = requested_limits(service);
            let cpus = asked.cpus.filter(|cpus| *cpus > 0.0).map_or(share.cpus, |cpus| cpus.min(limits.cpus));
            json!({
                "name": name,
                "memory": asked.memory_bytes.filter(|it| *it > 0).map_or(share.memory_bytes, |it| it.min(limits.memory_bytes)),
                "cpus": cpus,
                "pids": asked.pids.filter(|it| *it > 0).map_or(limits.pids, |it| it.min(limits.pids)),
                "job": may_complete(rendered, name),
                "restart": restart_policy(rendered, name),
                "stop_grace": stop_grace(service),
            })
        })
        .collect();
    json!({ "services": services })
}

/// What the service asks for, thirty seconds at most; ten where it asks for nothing.
fn stop_grace(service: &Value) -> String {
    let asked =
        service.get("stop_grace_period").and_then(Value::as_str).and_then(|text| parse_duration(text).ok());
    let seconds = asked.map_or(10, |asked| asked.as_secs().clamp(1, 30));
    format!("{seconds}s")
}

/// Merges the fragment: maps deeply, the overlay winning; lists joined without doubles. Services that the document
/// does not have are passed over.
pub(super) fn merge(document: &mut Value, overlay: &Value) {
    let Some(services) = overlay.get("services").and_then(Value::as_object) else { return };
    for (name, fragment) in services {
        if let Some(service) = document.get_mut("services").and_then(|services| services.get_mut(name)) {
            merge_value(service, fragment);
        }
    }
}

fn merge_value(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge_value(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => {
            for value in from {
                if !into.contains(value) {
                    into.push(value.clone());
                }
            }
        }
        (into, from) => from.clone_into(into),
    }
}
