//! Configs and secrets of files: ordinary read-only binds.
//!
//! Compose binds them too, but what it compares to decide whether a container is up to date covers neither their path
//! nor their content: a changed file would never reach a running container. As binds they have paths that change with
//! the content. Of configs that stand in the compose file itself, a digest goes into the service.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::services_mut;

/// Where Compose puts what names no target.
const HOMES: [(&str, &str); 2] = [("configs", "/"), ("secrets", "/run/secrets/")];
/// Changes with the content of configs that are written into the compose file.
const CONTENT_LABEL: &str = "drey.content";

pub(super) fn mount(document: &mut Value) {
    for (section, home) in HOMES {
        let declared = document.get(section).and_then(Value::as_object).cloned().unwrap_or_default();
        for (_, service) in services_mut(document) {
            let Some(service) = service.as_object_mut() else { continue };
            of_service(service, section, home, &declared);
        }
        if let Some(entries) = document.get_mut(section).and_then(Value::as_object_mut) {
            entries.retain(|_, entry| entry.get("file").is_none());
        }
    }
}

fn of_service(service: &mut Map<String, Value>, section: &str, home: &str, declared: &Map<String, Value>) {
    let Some(wanted) = service.remove(section).and_then(|list| list.as_array().cloned()) else { return };
    let mut kept = Vec::new();
    let mut mounts = Vec::new();
    let mut contents = BTreeMap::new();
    for entry in wanted {
        let source = entry.get("source").and_then(Value::as_str).or(entry.as_str()).unwrap_or_default();
        let declaration = declared.get(source);
        if let Some(file) = declaration.and_then(|it| it.get("file")) {
            let target = target(entry.get("target").and_then(Value::as_str), source, home);
            mounts.push(json!({"type": "bind", "source": file, "target": target, "read_only": true}));
            continue;
        }
        if let Some(content) = declaration.and_then(|it| it.get("content")) {
            contents.insert(source.to_owned(), content.to_string());
        }
        kept.push(entry);
    }
    if !kept.is_empty() {
        service.insert(section.to_owned(), Value::Array(kept));
    }
    if let Some(volumes) = service.entry("volumes").or_insert_with(|| json!([])).as_array_mut() {
        volumes.extend(mounts);
    }
    if !contents.is_empty()
        && let Some(labels) = service.entry("labels").or_insert_with(|| json!({})).as_object_mut()
    {
        let digest = hex::encode(Sha256::digest(format!("{contents:?}")));
        labels.insert(CONTENT_LABEL.to_owned(), json!(digest));
    }
}

/// Relative targets of secrets count from their home; those of configs from the root.
fn target(written: Option<&str>, source: &str, home: &str) -> String {
    match written.filter(|target| !target.is_empty()) {
        Some(target) if target.starts_with('/') => target.to_owned(),
        Some(target) => format!("{home}{target}"),
        None => format!("{home}{source}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_binds_and_contents_become_a_digest() {
        let document = |content: &str| {
            let mut document = json!({
                "services": { "web": {
                    "configs": [{ "source": "nginx", "target": "/etc/nginx/nginx.conf" }, { "source": "plain" },
                                { "source": "inline" }],
                    "secrets": [{ "source": "key" }, { "source": "key", "target": "other" }]
                } },
                "configs": {
                    "nginx": { "file": "/co/nginx.conf" }, "plain": { "file": "/co/plain" },
                    "inline": { "content": content }
                },
                "secrets": { "key": { "file": "/co/key" } }
            });
            mount(&mut document);
            document
        };
        let found = document("a");
        let web = &found["services"]["web"];
        let targets: Vec<_> = web["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["target"].as_str().unwrap())
            .collect();
        assert_eq!(targets, ["/etc/nginx/nginx.conf", "/plain", "/run/secrets/key", "/run/secrets/other"]);
        assert_eq!(web["configs"], json!([{ "source": "inline" }]));
        assert_eq!(web.get("secrets"), None);
        assert_eq!(
            (&found["configs"], found.get("secrets")),
            (&json!({ "inline": { "content": "a" } }), Some(&json!({})))
        );
        let label = |document: &Value| document["services"]["web"]["labels"][CONTENT_LABEL].clone();
        assert_eq!(label(&found), label(&document("a")));
        assert_ne!(label(&found), label(&document("b")));
    }
}
