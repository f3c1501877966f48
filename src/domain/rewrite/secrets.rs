//! Secrets that services ask for: files in memory, bound read-only. The stack has their paths, never their values.

use std::path::Path;

use serde_json::{Value, json};

use super::services_mut;
use crate::domain::dollars::escaped;
use crate::domain::secrets::service_folder;
use crate::domain::settings::StackSettings;

/// Where a container finds its secrets, as with those of Compose.
const HOME: &str = "/run/secrets";

/// `folder` has the environment's secrets.
pub(super) fn bind(document: &mut Value, settings: &StackSettings, folder: &Path) {
    for (name, service) in services_mut(document) {
        let Some(wanted) = settings.secrets.get(name) else { continue };
        let Some(service) = service.as_object_mut() else { continue };
        let volumes = service.entry("volumes").or_insert_with(|| json!([]));
        if volumes.is_null() {
            *volumes = json!([]);
        }
        let Some(volumes) = volumes.as_array_mut() else { continue };
        for secret in wanted {
            let source = folder.join(service_folder(name)).join(secret.as_str());
            volumes.push(json!({
                "type": "bind", "source": escaped(&source.to_string_lossy()), "target": format!("{HOME}/{secret}"),
                "read_only": true, "bind": {"create_host_path": false}
            }));
        }
    }
}
