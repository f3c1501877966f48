//! Volumes: made by drey, so that no `up` can drop one. Anonymous ones and those of images get stable names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{RewriteContext, services_mut};
use crate::domain::stack::VolumeSpec;

pub(super) fn rewrite(document: &mut Value, context: &RewriteContext<'_>) -> Vec<VolumeSpec> {
    let written = document.get("volumes").cloned().unwrap_or_default();
    let mut used = BTreeSet::new();
    for (name, service) in services_mut(document) {
        let from_image = context.facts.get(name).map(|facts| facts.volumes.clone()).unwrap_or_default();
        name_volumes(name, service, &from_image, &mut used);
    }
    let specs: Vec<VolumeSpec> = used.into_iter().map(|key| spec(written.get(&key), key, context)).collect();
    let external: Map<String, Value> =
        specs.iter().map(|spec| (spec.key.clone(), json!({"name": spec.name, "external": true}))).collect();
    if let Some(top) = document.as_object_mut() {
        top.insert("volumes".to_owned(), Value::Object(external));
    }
    specs
}

/// Names what has no name, adds the image's own volumes that nothing else is mounted at, and collects the keys.
fn name_volumes(name: &str, service: &mut Value, from_image: &[String], used: &mut BTreeSet<String>) {
    let mut taken = tmpfs_targets(service);
    let Some(service) = service.as_object_mut() else { return };
    let mut mounts =
        service.remove("volumes").and_then(|mounts| mounts.as_array().cloned()).unwrap_or_default();
    for mount in &mut mounts {
        let target = mount.get("target").and_then(Value::as_str).unwrap_or_default().to_owned();
        taken.insert(trimmed(&target).to_owned());
        if mount.get("type").and_then(Value::as_str) != Some("volume") {
            continue;
        }
        let key = match mount.get("source").and_then(Value::as_str).filter(|source| !source.is_empty()) {
            Some(source) => source.to_owned(),
            None => stable_key(name, &target),
        };
        if let Some(mount) = mount.as_object_mut() {
            mount.insert("source".to_owned(), json!(key));
        }
        used.insert(key);
    }
    for target in from_image.iter().filter(|target| !taken.contains(trimmed(target))) {
        let key = stable_key(name, target);
        mounts.push(json!({"type": "volume", "source": key, "target": target, "volume": {}}));
        used.insert(key);
    }
    if !mounts.is_empty() {
        service.insert("volumes".to_owned(), Value::Array(mounts));
    }
}

fn tmpfs_targets(service: &Value) -> BTreeSet<String> {
    let entries = service.get("tmpfs").and_then(Value::as_array).into_iter().flatten();
    entries
        .filter_map(Value::as_str)
        .map(|entry| trimmed(entry.split(':').next().unwrap_or_default()).to_owned())
        .collect()
}

fn trimmed(path: &str) -> &str {
    path.trim_end_matches('/')
}

fn stable_key(service: &str, target: &str) -> String {
    let digest = hex::encode(Sha256::digest(trimmed(target).as_bytes()));
    format!("{service}-{}", digest.get(..8).unwrap_or(&digest))
}

fn spec(written: Option<&Value>, key: String, context: &RewriteContext<'_>) -> VolumeSpec {
    let driver_opts = texts(written.and_then(|volume| volume.get("driver_opts")));
    let mut labels = texts(written.and_then(|volume| volume.get("labels")));
    labels.retain(|label, _| !label.starts_with("drey.") && !label.starts_with("com.docker."));
    let definition = hex::encode(Sha256::digest(format!("{driver_opts:?}").as_bytes()));
    VolumeSpec { name: format!("{}_{key}", context.project), driver_opts, labels, definition, key }
}

/// A map of scalars as texts.
fn texts(map: Option<&Value>) -> BTreeMap<String, String> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}
