//! Capabilities, name spaces, security options, devices, kernel settings.

use serde_json::Value;

use super::super::inspection::{Inspection, Place};
use super::super::table::Row;
use super::{Found, items, pairs, scalar_text, shown};

/// What the engine gives every container by default.
pub(in crate::domain) const DEFAULT_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Two of them that drey takes from every container: forged packets and device files are no part of an application.
pub(in crate::domain) const TAKEN_CAPABILITIES: [&str; 2] = ["NET_RAW", "MKNOD"];

pub(super) fn capabilities(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    let mut kept = Vec::new();
    let mut taken = Vec::new();
    for (index, item) in items(value).into_iter().enumerate() {
        let upper = scalar_text(item).unwrap_or_default().trim().to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let is_granted = inspection.permissions.allows(&format!("cap:{name}"));
        if !is_granted && !DEFAULT_CAPABILITIES.contains(&name) {
            let reason = format!("the capability {} is not one that containers have by default", shown(item));
            inspection.reject(&place.item(index), row, &reason);
        } else if !is_granted && TAKEN_CAPABILITIES.contains(&name) {
            taken.push(name.to_owned());
        } else {
            kept.push(item.clone());
        }
    }
    if !taken.is_empty() {
        let message = format!("{} is taken from every container; {}", taken.join(", "), row.instead);
        inspection.set(place, row.rule, &message, Value::Array(kept));
    }
}

/// `network_mode`, `pid`, `ipc`: one of the allowed words, or another service of the file.
pub(super) fn name_space(
    inspection: &mut Inspection<'_>,
    place: &Place,
    row: &Row,
    value: &Value,
    allowed: &[&str],
) {
    let text = scalar_text(value).unwrap_or_default();
    let of_service = text.strip_prefix("service:").is_some_and(|name| inspection.declares("services", name));
    if !of_service && !allowed.contains(&text.as_str()) {
        inspection.reject(
            place,
            row,
            &format!("{} would share what belongs to the host or to others", shown(value)),
        );
    }
}

pub(super) fn security_options(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (index, item) in items(value).into_iter().enumerate() {
        let text = scalar_text(item).unwrap_or_default();
        if !["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"].contains(&text.as_str())
        {
            let reason = format!("{} takes a guard away", shown(item));
            inspection.reject(&place.item(index), row, &reason);
        }
    }
}

/// Settings of the container's own network name space; all others reach further.
pub(super) fn sysctls(inspection: &mut Inspection<'_>, place: &Place, row: &Row, found: Found<'_>) {
    let mode = found.siblings.get("network_mode").and_then(Value::as_str).unwrap_or_default();
    if !mode.is_empty() && mode != "none" {
        return inspection.reject(place, row, "the service has no network name space of its own");
    }
    for (name, _) in pairs(found.value) {
        if !is_own_sysctl(&name) && !inspection.permissions.allows(&format!("sysctl:{name}")) {
            inspection.reject(&place.child(&name), row, "this setting of the kernel may not be changed");
        }
    }
}

/// Whether a setting is of the network name space alone, and does no harm there.
pub(in crate::domain) fn is_own_sysctl(name: &str) -> bool {
    let plain = |rest: &str| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    matches!(
        name,
        "net.core.somaxconn" | "net.ipv4.ip_unprivileged_port_start" | "net.ipv4.ip_local_port_range"
    ) || name.strip_prefix("net.ipv4.tcp_").is_some_and(plain)
}

/// Devices by path, one by one as the operator granted them; names of device plugins never.
pub(super) fn devices(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (index, item) in items(value).into_iter().enumerate() {
        let source = item.get("source").and_then(Value::as_str);
        let granted = source.is_some_and(|source| inspection.permissions.allows(&format!("device:{source}")));
        if !granted {
            let reason = "it hands over a device of the host";
            inspection.reject(&place.item(index), row, reason);
        }
    }
}

pub(super) fn gpus(inspection: &mut Inspection<'_>, place: &Place, row: &Row) {
    if !inspection.permissions.allows("gpus") {
        inspection.reject(place, row, "it hands over devices of the host");
    }
}

pub(super) fn volumes_from(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (index, item) in items(value).into_iter().enumerate() {
        let text = scalar_text(item).unwrap_or_default();
        let (name, mode) = text.split_once(':').unwrap_or((text.as_str(), ""));
        if name == "container" || !inspection.declares("services", name) || !["", "ro", "rw"].contains(&mode)
        {
            let reason = format!("{} is not a service of this file", shown(item));
            inspection.reject(&place.item(index), row, &reason);
        }
    }
}
