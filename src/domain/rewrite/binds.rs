//! Files of the checkout that containers see: copies, read-only unless the operator allows more, under a path that changes only with their content.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::RewriteError;
use super::{RewriteContext, services_mut, services_of};
use crate::domain::dollars::{escaped, unescaped};
use crate::domain::stack::{BOUND_FILE, BindSpec};

/// What lies at a bound path of the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundContent {
    pub content_id: String,
    pub is_file: bool,
}

/// All paths that services, configs and secrets take from the checkout, relative to it.
pub fn bound_paths(document: &Value, checkout: &Path) -> Vec<PathBuf> {
    let mut paths = BTreeSet::new();
    for (_, service) in services_of(document) {
        for mount in service.get("volumes").and_then(Value::as_array).into_iter().flatten() {
            if is_bind(mount) {
                paths.extend(mount.get("source").and_then(|source| relative(source, checkout)));
            }
        }
    }
    for section in ["configs", "secrets"] {
        for entry in document.get(section).and_then(Value::as_object).into_iter().flat_map(|map| map.values())
        {
            paths.extend(entry.get("file").and_then(|file| relative(file, checkout)));
        }
    }
    paths.into_iter().map(PathBuf::from).collect()
}

pub(super) fn rewrite(
    document: &mut Value,
    context: &RewriteContext<'_>,
) -> Result<Vec<BindSpec>, RewriteError> {
    let mut binds = Vec::new();
    for (name, service) in services_mut(document) {
        let mounts = service.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten();
        for mount in mounts.filter(|mount| is_bind(mount)) {
            let key = format!("services.{name}.volumes");
            let source = moved(mount.get("source"), &key, context, &mut binds)?;
            let target = mount.get("target").cloned().unwrap_or_default();
            let read_only = mount.get("read_only") != Some(&Value::Bool(false));
            *mount = json!({
                "type": "bind", "source": source, "target": target, "read_only": read_only,
                "bind": {"create_host_path": false}
            });
        }
    }
    for section in ["configs", "secrets"] {
        let entries = document.get_mut(section).and_then(Value::as_object_mut).into_iter().flatten();
        for (name, entry) in entries {
            let Some(entry) = entry.as_object_mut() else { continue };
            entry.insert("name".to_owned(), json!(format!("{}_{name}", context.project)));
        }
    }
    binds.sort_by(|one, other| one.content_id.cmp(&other.content_id));
    binds.dedup_by(|one, other| one.content_id == other.content_id);
    Ok(binds)
}

fn is_bind(mount: &Value) -> bool {
    mount.get("type").and_then(Value::as_str) == Some("bind")
}

fn moved(
    source: Option<&Value>,
    key: &str,
    context: &RewriteContext<'_>,
    binds: &mut Vec<BindSpec>,
) -> Result<String, RewriteError> {
    let path = source.and_then(|source| relative(source, context.checkout));
    let found = path.as_ref().and_then(|path| context.contents.get(path));
    let (Some(path), Some(content)) = (&path, found) else {
        let path = path.unwrap_or_else(|| source.map(Value::to_string).unwrap_or_default());
        return Err(RewriteError::NotInCommit { key: key.to_owned(), path });
    };
    binds.push(BindSpec {
        source: path.clone(),
        content_id: content.content_id.clone(),
        is_file: content.is_file,
    });
    let mut target = context.binds.join(&content.content_id);
    if content.is_file {
        target.push(BOUND_FILE);
    }
    Ok(escaped(&target.to_string_lossy()))
}

/// Path below the checkout, `/`-separated; `None` when it lies elsewhere.
fn relative(path: &Value, checkout: &Path) -> Option<String> {
    let path = unescaped(path.as_str()?);
    let inside = Path::new(&path).strip_prefix(checkout).ok()?;
    Some(inside.to_string_lossy().into_owned())
}
