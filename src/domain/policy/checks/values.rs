//! Environment values and names.

use serde_json::Value;

use super::super::inspection::{Inspection, Place};
use super::super::table::Row;
use super::{pairs, shown};

/// A name without a value is what Compose would take from its own environment.
pub(super) fn environment(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (name, value) in pairs(value) {
        if value.is_none() {
            let reason =
                "a name without a value takes it from the daemon's environment, which is never given";
            inspection.reject(&place.child(&name), row, reason);
        }
    }
}

/// Names of networks, volumes, configs and secrets are dropped; said only where the author chose one.
pub(super) fn name(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    let project = inspection.document.get("name").and_then(Value::as_str).unwrap_or_default();
    let key = place.key.strip_suffix(".name").and_then(|key| key.split_once('.')).map_or("", |(_, key)| key);
    if value.as_str() == Some(format!("{project}_{key}").as_str()) {
        inspection.drop_silently(place);
    } else {
        inspection.neutralise(place, row, &format!("the name {} is not used", shown(value)));
    }
}
