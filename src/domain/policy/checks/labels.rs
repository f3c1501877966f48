//! Labels: other programs on the host obey them, drey too.

use serde_json::Value;

use super::super::inspection::{Inspection, Place};
use super::super::table::Row;
use super::pairs;
use crate::domain::interlock::{self, Remark};

/// The labels that drey reads from a service.
const READ_BY_DREY: [&str; 19] = [
    "drey.port",
    "drey.host",
    "drey.scheme",
    "drey.primary",
    "drey.ready.path",
    "drey.ready.within",
    "drey.upstream.ca",
    "drey.upstream.server-name",
    "drey.upstream.verify",
    "drey.upstream.client-cert",
    "drey.lb",
    "drey.sticky",
    "drey.timeout",
    "drey.metrics.port",
    "drey.metrics.path",
    "drey.alias",
    "drey.path",
    "drey.strip-path",
    "drey.network",
];

/// Written by the engine, Compose and Swarm about what they own.
const OF_THE_ENGINE: [&str; 4] = ["com.docker.", "io.docker.", "org.dockerproject.", "desktop.docker.io"];

/// Obeyed by proxies, updaters and schedulers that may run beside drey; each also with a number (`caddy_0`).
const OF_OTHERS: [&str; 7] =
    ["traefik", "caddy", "com.centurylinklabs.watchtower", "ofelia", "autoheal", "diun", "chadburn"];

pub(super) fn of_service(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    labels(inspection, place, row, value, &READ_BY_DREY);
    for (name, value) in pairs(value) {
        match interlock::remark(&name, value.as_deref().unwrap_or_default()) {
            Remark::None => {}
            Remark::Note(note) => inspection.announce(&place.child(&name), row.rule, note),
            Remark::Refused(reason) => inspection.reject(&place.child(&name), row, reason),
        }
    }
}

/// Exactly one of the names, or a further name of the service with its number.
fn is_read(name: &str, known: &[&str]) -> bool {
    let number = name.strip_prefix("drey.alias.").filter(|_| known.contains(&"drey.alias"));
    known.contains(&name) || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Networks, volumes, configs, secrets, builds: drey reads nothing from them.
pub(super) fn of_resource(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    labels(inspection, place, row, value, &[]);
}

fn labels(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value, known: &[&str]) {
    for (name, _) in pairs(value) {
        let folded = name.trim().to_ascii_lowercase();
        let place = place.child(&name);
        if is_read(&name, known) {
            continue;
        }
        if folded == "drey" || folded.starts_with("drey.") {
            inspection.reject(&place, row, "labels of drey's own say whom a thing belongs to");
        } else if OF_THE_ENGINE.iter().any(|prefix| folded.starts_with(prefix)) {
            inspection.reject(&place, row, "labels of the engine and of Compose say whom a thing belongs to");
        } else if OF_OTHERS.iter().any(|program| belongs_to(&folded, program)) {
            let reason = "another program on the host would act on this label";
            if value.is_object() {
                inspection.neutralise(&place, row, reason);
            } else {
                inspection.reject(&place, row, reason);
            }
        }
    }
}

fn belongs_to(label: &str, program: &str) -> bool {
    label.strip_prefix(program).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_', '/', '-']))
}
