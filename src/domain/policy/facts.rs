//! What the judge must know of the checkout's files, and which files it must know of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::domain::dollars::unescaped;

/// What a path leads to after every symlink of every part is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFact {
    /// Nothing is there, and it would be inside the checkout.
    Missing,
    /// Leads out of the checkout, or cannot be followed to its end.
    Outside,
    /// The git data of the checkout.
    Git,
    /// A regular file.
    File,
    /// A folder below the checkout's root.
    Directory,
    /// The checkout's root itself.
    Root,
    /// A socket, pipe or device.
    Special,
}

/// The checkout as an adapter saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckoutFacts {
    pub root: PathBuf,
    pub paths: BTreeMap<PathBuf, PathFact>,
}

/// Every path of the host that the document names, as it is on the disk (parts like `..` not resolved).
pub fn paths_used(document: &Value) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for service in entries(document.get("services")) {
        let mounts = service.get("volumes").and_then(Value::as_array).into_iter().flatten();
        paths.extend(
            mounts
                .filter(|mount| text(mount, "type") == Some("bind"))
                .filter_map(|mount| absolute(mount, "source")),
        );
        for key in ["env_file", "label_file"] {
            paths.extend(files_of(service.get(key)));
        }
        if let Some(build) = service.get("build") {
            paths.extend(build_paths(build));
        }
    }
    for kind in ["configs", "secrets"] {
        paths.extend(entries(document.get(kind)).filter_map(|entry| absolute(entry, "file")));
    }
    paths.sort();
    paths.dedup();
    paths
}

/// The path on the disk that a text of the document means.
pub(super) fn real_path(text: &str) -> PathBuf {
    PathBuf::from(unescaped(text))
}

/// Where the Dockerfile of a build is: relative ones count from the context.
pub(super) fn dockerfile_path(build: &Value) -> Option<PathBuf> {
    let context = absolute(build, "context")?;
    text(build, "dockerfile").map(|dockerfile| context.join(real_path(dockerfile)))
}

/// The files of `env_file` or `label_file`: a text, or a list of texts and of objects with `path`.
pub(super) fn files_of(value: Option<&Value>) -> Vec<PathBuf> {
    let one = |value: &Value| {
        let path = value.as_str().or_else(|| text(value, "path"))?;
        Some(real_path(path))
    };
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
        Some(other) => one(other).into_iter().collect(),
        None => Vec::new(),
    }
}

fn build_paths(build: &Value) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        absolute(build, "context").into_iter().chain(dockerfile_path(build)).collect();
    let contexts = build.get("additional_contexts").and_then(Value::as_object).into_iter().flatten();
    paths.extend(
        contexts
            .filter_map(|(_, value)| value.as_str())
            .filter(|value| value.starts_with('/'))
            .map(real_path),
    );
    paths
}

fn entries(map: Option<&Value>) -> impl Iterator<Item = &Value> {
    map.and_then(Value::as_object).into_iter().flat_map(serde_json::Map::values)
}

fn absolute(object: &Value, key: &str) -> Option<PathBuf> {
    text(object, key).map(real_path).filter(|path| path.is_absolute())
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}
