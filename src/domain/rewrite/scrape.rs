//! The labels that say where a service's metrics are: `drey.metrics.port`, `drey.metrics.path`.

use serde_json::Value;

use super::error::RewriteError;
use super::labels::{bad_label, label};
use super::services_of;
use crate::domain::directory::{METRICS_PATH, METRICS_PORT, is_path};

/// # Errors
/// When a value is no port, or no path.
pub(super) fn check(document: &Value) -> Result<(), RewriteError> {
    for (name, service) in services_of(document) {
        if let Some(text) = label(service, METRICS_PORT)
            && text.parse::<u16>().ok().is_none_or(|port| port == 0)
        {
            return Err(bad_label(name, METRICS_PORT, text, "must be a port, 1 to 65535"));
        }
        if let Some(text) = label(service, METRICS_PATH).filter(|text| !is_path(text)) {
            return Err(bad_label(name, METRICS_PATH, text, "must be a path that begins with `/`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_port_and_no_path_is_told_with_its_key() {
        let checked = |labels: Value| {
            let document = json!({"services": {"db": {"labels": labels}}});
            check(&document).map_err(|error| error.to_string())
        };
        assert_eq!(checked(json!({METRICS_PORT: "9187", METRICS_PATH: "/m?all=1"})), Ok(()));
        for (key, value) in [(METRICS_PORT, "0"), (METRICS_PORT, "http"), (METRICS_PATH, "metrics")] {
            let told = checked(json!({key: value})).unwrap_err();
            assert!(told.starts_with(&format!("services.db.labels.{key}: ")), "{told}");
        }
    }
}
