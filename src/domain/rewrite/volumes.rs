//! Volumes: made by drey, so that no `up` can drop one. Anonymous ones and those of images get stable names, but for
//! services of several containers: there each container has its own, which no name in the document can say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::services::replicas;
use super::{RewriteContext, services_mut, services_of};
use crate::domain::dollars::escaped;
use crate::domain::stack::VolumeSpec;

pub(super) fn rewrite(document: &mut Value, context: &RewriteContext<'_>) -> Vec<VolumeSpec> {
    let written = document.get("volumes").cloned().unwrap_or_default();
    let mut used = BTreeSet::new();
    let provided = Provided::of(document, context);
    for (name, service) in services_mut(document) {
        let from_image = provided.image_volumes_left(name, service);
        let is_alone = replicas(service) <= 1;
        name_volumes((name, is_alone), service, &from_image, &mut used);
    }
    let specs: Vec<VolumeSpec> = used.into_iter().map(|key| spec(written.get(&key), key, context)).collect();
    let external: Map<String, Value> =
        specs.iter().map(|spec| (spec.key.clone(), json!({"name": spec.name, "external": true}))).collect();
    if let Some(top) = document.as_object_mut() {
        top.insert("volumes".to_owned(), Value::Object(external));
    }
    specs
}

/// Names what has no name, adds the volumes that are left to the image, and collects the keys. Containers that are not
/// alone keep nameless volumes, which Compose carries from each container to the one that replaces it.
fn name_volumes(
    (name, is_alone): (&str, bool),
    service: &mut Value,
    from_image: &[String],
    used: &mut BTreeSet<String>,
) {
    let Some(service) = service.as_object_mut() else { return };
    let mut mounts =
        service.remove("volumes").and_then(|mounts| mounts.as_array().cloned()).unwrap_or_default();
    for mount in mounts.iter_mut().filter(|mount| is_volume(mount)) {
        let target = target_of(mount);
        let key = match mount.get("source").and_then(Value::as_str).filter(|source| !source.is_empty()) {
            Some(source) => source.to_owned(),
            None if is_alone => stable_key(name, &target),
            None => continue,
        };
        if let Some(mount) = mount.as_object_mut() {
            mount.insert("source".to_owned(), json!(key));
        }
        used.insert(key);
    }
    for target in from_image.iter().filter(|_| is_alone) {
        let key = stable_key(name, target);
        mounts.push(json!({"type": "volume", "source": key, "target": target, "volume": {}}));
        used.insert(key);
    }
    if !mounts.is_empty() {
        service.insert("volumes".to_owned(), Value::Array(mounts));
    }
}

/// Where in each service something is mounted: by its own file, by its image, and by the services that `volumes_from`
/// names. Paths are as in the document, without a slash at the end.
struct Provided {
    own: BTreeMap<String, BTreeSet<String>>,
    from_image: BTreeMap<String, Vec<String>>,
    /// Service → those that its `volumes_from` names.
    takes_from: BTreeMap<String, Vec<String>>,
}

impl Provided {
    fn of(document: &Value, context: &RewriteContext<'_>) -> Self {
        let of_image = |name: &String| {
            let volumes = context.facts.get(name).map(|facts| facts.volumes.as_slice()).unwrap_or_default();
            volumes.iter().map(|target| escaped(target)).collect()
        };
        let sources = |service: &Value| {
            let sources = service.get("volumes_from").and_then(Value::as_array).into_iter().flatten();
            let name = |source: &str| source.split(':').next().unwrap_or_default().to_owned();
            sources.filter_map(Value::as_str).map(name).collect()
        };
        let each = || services_of(document);
        Self {
            own: each().map(|(name, service)| (name.clone(), own_targets(service))).collect(),
            from_image: each().map(|(name, _)| (name.clone(), of_image(name))).collect(),
            takes_from: each().map(|(name, service)| (name.clone(), sources(service))).collect(),
        }
    }

    /// The volumes of the service's image at whose path nothing else is mounted.
    fn image_volumes_left(&self, name: &str, service: &Value) -> Vec<String> {
        let mut taken = tmpfs_targets(service);
        taken.extend(self.own.get(name).into_iter().flatten().cloned());
        let mut seen = BTreeSet::from([name]);
        let mut open: Vec<&str> = self.sources_of(name).collect();
        while let Some(source) = open.pop() {
            if seen.insert(source) {
                taken.extend(self.own.get(source).into_iter().flatten().cloned());
                let of_image = self.from_image.get(source).into_iter().flatten();
                taken.extend(of_image.map(|target| trimmed(target).to_owned()));
                open.extend(self.sources_of(source));
            }
        }
        let of_image = self.from_image.get(name).into_iter().flatten();
        of_image.filter(|target| !taken.contains(trimmed(target))).cloned().collect()
    }

    fn sources_of(&self, name: &str) -> impl Iterator<Item = &str> {
        self.takes_from.get(name).into_iter().flatten().map(String::as_str)
    }
}

fn own_targets(service: &Value) -> BTreeSet<String> {
    let mounts = service.get("volumes").and_then(Value::as_array).into_iter().flatten();
    mounts.map(|mount| trimmed(&target_of(mount)).to_owned()).collect()
}

fn is_volume(mount: &Value) -> bool {
    mount.get("type").and_then(Value::as_str) == Some("volume")
}

fn target_of(mount: &Value) -> String {
    mount.get("target").and_then(Value::as_str).unwrap_or_default().to_owned()
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
