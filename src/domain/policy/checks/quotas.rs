//! Counts, sizes and times.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::bytes::parse_duration;
use super::super::inspection::{Inspection, Place};
use super::super::limits::{bytes, requested_limits};
use super::super::rule::Rule;
use super::super::table::Row;
use super::shown;

/// A health check costs the engine an exec; more often than this is load without use.
const SHORTEST_HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// A teardown waits at most this long for a service.
const LONGEST_STOP_GRACE: Duration = Duration::from_secs(30);

/// User limits that may be asked for, and how far. The others (priorities, queues) reach beyond the container.
const USER_LIMITS: [(&str, i64); 4] =
    [("core", 0), ("memlock", i64::MAX), ("nofile", 1_048_576), ("nproc", 65_535)];

/// Counts first: a document with thousands of entries is not walked at all.
pub(in super::super) fn counts_are_bearable(
    inspection: &mut Inspection<'_>,
    document: &Map<String, Value>,
) -> bool {
    let limits = inspection.permissions.limits;
    let bounds = [
        ("services", limits.services),
        ("networks", limits.networks),
        ("volumes", limits.volumes),
        ("configs", limits.resources),
        ("secrets", limits.resources),
    ];
    let mut bearable = true;
    for (key, limit) in bounds {
        let count = document.get(key).and_then(Value::as_object).map_or(0, Map::len);
        if count > limit {
            let message = format!(
                "there are {count} {key}, and {limit} may be; use fewer, or ask the operator for a higher limit"
            );
            inspection.reject_as(&Place::default().child(key), Rule::Limits, &message);
            bearable = false;
        }
    }
    let services = document.get("services").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let containers: u64 = services.map(containers).fold(0, u64::saturating_add);
    if bearable && containers > limits.replicas_total {
        let message = format!(
            "the services ask for {containers} containers together, and {} may be; use fewer",
            limits.replicas_total
        );
        inspection.reject_as(&Place::default().child("services"), Rule::Limits, &message);
    }
    bearable
}

fn containers(service: &Value) -> u64 {
    let of = |value: Option<&Value>| value.and_then(count);
    of(service.get("scale"))
        .into_iter()
        .chain(of(service.pointer("/deploy/replicas")))
        .max()
        .unwrap_or(1)
        .max(1)
}

fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// `scale`, `deploy.replicas`; `deploy` itself carries no number.
pub(super) fn replicas(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    let limit = inspection.permissions.limits.replicas;
    if !value.is_object() && count(value).is_none_or(|count| count > limit) {
        inspection.reject(
            place,
            row,
            &format!("{} containers of one service are too many ({limit} may be)", shown(value)),
        );
    }
}

pub(super) fn ports(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    let limit = inspection.permissions.limits.ports;
    let count = value.as_array().map_or(1, Vec::len);
    if count > limit {
        inspection.reject(place, row, &format!("there are {count} ports, and {limit} may be"));
    }
}

/// Says once per service that it gets limits, where it asks for none itself.
pub(super) fn service(
    inspection: &mut Inspection<'_>,
    place: &Place,
    row: &Row,
    service: &Map<String, Value>,
) {
    if requested_limits(&Value::Object(service.clone())).memory_bytes.is_none() {
        let message = format!("memory, CPU and processes get drey's default limits; {}", row.instead);
        inspection.announce(place, Rule::Limits, &message);
    }
}

pub(super) fn health_intervals(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for key in ["interval", "start_interval"] {
        let Some(asked) = value.get(key).and_then(Value::as_str).filter(|asked| !asked.is_empty()) else {
            continue;
        };
        let interval = parse_duration(asked);
        // Zero means the engine's default of 30 s.
        if !interval.is_some_and(|interval| interval.is_zero() || interval >= SHORTEST_HEALTH_INTERVAL) {
            let message = format!("the health check may not run so often; {}", row.instead);
            inspection.set(&place.child(key), Rule::Limits, &message, json!("1s"));
        }
    }
}

pub(super) fn stop_grace(inspection: &mut Inspection<'_>, place: &Place, value: &Value) {
    let asked = value.as_str().and_then(parse_duration);
    if asked.is_none_or(|asked| asked > LONGEST_STOP_GRACE) {
        inspection.set(place, Rule::Limits, "a service gets at most 30 s to stop", json!("30s"));
    }
}

pub(super) fn shm_size(inspection: &mut Inspection<'_>, place: &Place, value: &Value) {
    let limit = inspection.permissions.limits.shm_bytes;
    if bytes(value).is_none_or(|asked| asked > limit) {
        let message = format!("shared memory has at most {limit} bytes");
        inspection.set(place, Rule::Limits, &message, json!(limit.to_string()));
    }
}

/// Values above 0 make the container go first when memory is short; below, the host would.
pub(super) fn oom_score(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    let score = value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    if !score.is_some_and(|score| (0..=1000).contains(&score)) {
        inspection.reject(
            place,
            row,
            &format!("with {} the host would be killed before the container", shown(value)),
        );
    }
}

/// Known limits are kept up to a bound, unknown ones dropped.
pub(super) fn ulimits(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (name, asked) in value.as_object().into_iter().flatten() {
        let place = place.child(name);
        match USER_LIMITS.iter().find(|(known, _)| known == name) {
            None => inspection.neutralise(&place, row, "this user limit is not set in a branch"),
            Some((_, bound)) => {
                let clamped = clamped(asked, *bound);
                if clamped != *asked {
                    inspection.set(
                        &place,
                        Rule::Limits,
                        &format!("this user limit is at most {bound}"),
                        clamped,
                    );
                }
            }
        }
    }
}

fn clamped(asked: &Value, bound: i64) -> Value {
    match asked {
        Value::Object(parts) => {
            Value::Object(parts.iter().map(|(name, part)| (name.clone(), clamped(part, bound))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let number = asked.as_i64().or_else(|| asked.as_str().and_then(|text| text.trim().parse().ok()));
            match number {
                Some(number) if number <= bound && (number >= 0 || bound == i64::MAX) => asked.clone(),
                _ => json!(bound.min(i64::from(i32::MAX))),
            }
        }
    }
}
