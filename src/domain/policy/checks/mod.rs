//! The value rules of the table.

mod build;
pub(super) mod image;
pub(super) mod isolation;
mod labels;
mod mounts;
mod network;
mod quotas;
mod values;

use serde_json::{Map, Value};

use super::inspection::{Inspection, Place};
use super::rule::Rule;
use super::table::{Check, Row};

pub(super) use quotas::counts_are_bearable;

/// A value and the object that it stands in.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) value: &'a Value,
    pub(super) siblings: &'a Map<String, Value>,
}

/// One rule over one value.
pub(super) fn value(
    inspection: &mut Inspection<'_>,
    check: Check,
    place: &Place,
    row: &Row,
    found: Found<'_>,
) {
    let value = found.value;
    match check {
        Check::AdditionalContexts => build::additional_contexts(inspection, place, row, value),
        Check::BuildContext => build::context(inspection, place, row, value),
        Check::BuildNetwork => only(inspection, place, row, value, &["none", "default"]),
        Check::BuildSecrets => mounts::declared(inspection, place, row, value, "secrets"),
        Check::CacheFrom => build::cache_from(inspection, place, row, value),
        Check::Capabilities => isolation::capabilities(inspection, place, row, value),
        Check::Cgroup => only(inspection, place, row, value, &["private"]),
        Check::DeployMode => only(inspection, place, row, value, &["replicated"]),
        Check::Devices => isolation::devices(inspection, place, row, value),
        Check::Dns => network::resolvers(inspection, place, row, value),
        Check::DnsOptions => network::resolver_options(inspection, place, row),
        Check::Dockerfile => build::dockerfile(inspection, place, row, found),
        Check::Environment => values::environment(inspection, place, row, value),
        Check::ExtraHosts => network::extra_hosts(inspection, place, row, value),
        Check::FilesToRead => mounts::files_to_read(inspection, place, row, value),
        Check::Gpus => isolation::gpus(inspection, place, row),
        Check::HealthInterval => quotas::health_intervals(inspection, place, row, value),
        Check::Image => image::used(inspection, place, row, value),
        Check::Ipc => isolation::name_space(inspection, place, row, value, &["private", "shareable", "none"]),
        Check::KeptName => values::name(inspection, place, row, value),
        Check::Labels => labels::of_resource(inspection, place, row, value),
        Check::Links => network::links(inspection, place, row, value),
        Check::Mount | Check::ServiceLimits => unexpected(inspection, place),
        Check::MustBeEmpty => only(inspection, place, row, value, &[]),
        Check::NetworkDriver => network::driver(inspection, place, row, value),
        Check::NetworkDriverOptions => network::driver_options(inspection, place, row, value),
        Check::NetworkMode => isolation::name_space(inspection, place, row, value, &["none"]),
        Check::OomScore => quotas::oom_score(inspection, place, row, value),
        Check::Pid => isolation::name_space(inspection, place, row, value, &[]),
        Check::PortCount => quotas::ports(inspection, place, row, value),
        Check::PortMode => network::port_mode(inspection, place, row, value),
        Check::ProjectName => inspection.drop_silently(place),
        Check::Replicas => quotas::replicas(inspection, place, row, value),
        Check::ResourceFile => mounts::resource_file(inspection, place, row, value),
        Check::Sbom => only(inspection, place, row, value, &["true", "false"]),
        Check::SecurityOptions => isolation::security_options(inspection, place, row, value),
        Check::ServiceImage => image::of_service(inspection, place, row, found),
        Check::ServiceLabels => labels::of_service(inspection, place, row, value),
        Check::ServiceNetworks => mounts::declared(inspection, place, row, value, "networks"),
        Check::ServiceResources => mounts::service_resources(inspection, place, row, value),
        Check::ShmSize => quotas::shm_size(inspection, place, value),
        Check::StopGrace => quotas::stop_grace(inspection, place, value),
        Check::Sysctls => isolation::sysctls(inspection, place, row, found),
        Check::Tmpfs => mounts::tmpfs_list(inspection, place, value),
        Check::Ulimits => quotas::ulimits(inspection, place, row, value),
        Check::VolumeDriver => only(inspection, place, row, value, &["local"]),
        Check::VolumeDriverOptions => mounts::volume_options(inspection, place, row, value),
        Check::VolumesFrom => isolation::volumes_from(inspection, place, row, value),
    }
}

/// One rule over an object as a whole.
pub(super) fn whole(
    inspection: &mut Inspection<'_>,
    check: Check,
    place: &Place,
    row: &Row,
    object: &Map<String, Value>,
) {
    if check == Check::Mount {
        mounts::mount(inspection, place, row, object);
    } else if check == Check::ServiceLimits {
        quotas::service(inspection, place, row, object);
    } else {
        unexpected(inspection, place);
    }
}

/// A table that names a rule in the wrong place must not let anything through.
fn unexpected(inspection: &mut Inspection<'_>, place: &Place) {
    inspection.reject_as(place, Rule::Yaml, "drey has no rule for this value here; remove it");
}

/// Refuses every value that is not exactly one of these.
fn only(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value, allowed: &[&str]) {
    let text = scalar_text(value);
    if !text.as_deref().is_some_and(|text| allowed.contains(&text)) {
        inspection.reject(place, row, &format!("{} is refused here", shown(value)));
    }
}

/// The text of a scalar.
fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The items of a list, or the one scalar.
fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
    }
}

/// Names and values of a free map; of a list, `name=value` and bare names. Values that are lists come once per item.
fn pairs(value: &Value) -> Vec<(String, Option<String>)> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(name, value)| match value {
                Value::Array(list) => list.iter().map(|item| (name.clone(), scalar_text(item))).collect(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    vec![(name.clone(), scalar_text(value))]
                }
            })
            .collect(),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => items(value)
            .into_iter()
            .filter_map(scalar_text)
            .map(|text| match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (text, None),
            })
            .collect(),
    }
}

/// A value for a message: short, on one line, without control characters.
fn shown(value: &Value) -> String {
    let text = scalar_text(value).unwrap_or_else(|| value.to_string());
    let mut shown: String =
        text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().count() > 80 {
        shown.push('…');
    }
    format!("`{shown}`")
}
