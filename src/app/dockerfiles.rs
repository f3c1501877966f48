//! What `drey stack check` says of Dockerfiles: the same that a deployment would.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::domain::dollars::unescaped;
use crate::domain::policy::{self, Action, Finding, Permissions};
use crate::domain::rewrite::services_of;

/// A Dockerfile that is larger is left to the builder.
const SIZE_LIMIT: u64 = 1 << 20;

/// The refusals of all Dockerfiles of an accepted document.
pub(super) fn findings(document: &Value, checkout: &Path, permissions: &Permissions) -> Vec<Finding> {
    services_of(document)
        .flat_map(|(name, service)| of_build(name, &service["build"], checkout, permissions))
        .collect()
}

fn of_build(service: &str, build: &Value, checkout: &Path, permissions: &Permissions) -> Vec<Finding> {
    let Some((file, text)) = dockerfile(build) else { return Vec::new() };
    let texts = |key: &str| -> BTreeMap<String, String> {
        let members = build[key].as_object().into_iter().flatten();
        members.filter_map(|(name, value)| Some((name.clone(), unescaped(value.as_str()?)))).collect()
    };
    let (args, contexts) = (texts("args"), texts("additional_contexts"));
    let contexts: BTreeSet<&String> = contexts.keys().collect();
    let shown = file.map(|file| file.strip_prefix(checkout).unwrap_or(&file).display().to_string());
    let finding = |(rule, message)| Finding {
        file: shown.clone(),
        line: None,
        key: format!("services.{service}.build"),
        rule,
        action: Action::Reject,
        message,
    };
    policy::dockerfile(&text, &args, &contexts, permissions).into_iter().map(finding).collect()
}

/// Its path, where it has one, and its text; `None` where there is none to read.
fn dockerfile(build: &Value) -> Option<(Option<PathBuf>, String)> {
    if let Some(text) = build["dockerfile_inline"].as_str() {
        return Some((None, unescaped(text)));
    }
    let context = PathBuf::from(unescaped(build["context"].as_str()?));
    let path = context.join(unescaped(build["dockerfile"].as_str().unwrap_or("Dockerfile")));
    let is_small = std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= SIZE_LIMIT);
    let bytes = is_small.then(|| std::fs::read(&path).ok()).flatten()?;
    Some((Some(path), String::from_utf8_lossy(&bytes).into_owned()))
}
