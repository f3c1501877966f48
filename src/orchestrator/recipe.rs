//! A service's `build` section, as the builder is to be asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::domain::dollars::unescaped;
use crate::domain::images::{BuildRecipe, BuildSources};
use crate::domain::names::InstanceId;
use crate::ports::BuildRequest;

use super::failure::Failure;

/// A service's `build` section: the request, less what comes from elsewhere, and where it reads from.
pub(super) struct Build {
    pub(super) request: BuildRequest,
    pub(super) sources: BuildSources,
}

impl Build {
    pub(super) fn of(service: &str, document: &Value, checkout: &Path) -> Result<Self, Failure> {
        let whole = &document["services"][service];
        let build = &whole["build"];
        let text = |key: &str| build.get(key).and_then(Value::as_str).map(unescaped);
        let context = PathBuf::from(text("context").unwrap_or_default());
        let relative = |path: &Path| -> Result<String, Failure> {
            let inside = path.strip_prefix(checkout).map_err(|_outside| {
                Failure::Blocked(format!(
                    "services.{service}.build: {} is not in the checkout",
                    path.display()
                ))
            })?;
            Ok(inside.to_string_lossy().into_owned())
        };
        let inline = text("dockerfile_inline");
        let dockerfile = text("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
        let mut additional = BTreeMap::new();
        let mut additional_contexts = BTreeMap::new();
        for (name, value) in build.get("additional_contexts").and_then(Value::as_object).into_iter().flatten()
        {
            let value = unescaped(value.as_str().unwrap_or_default());
            if Path::new(&value).is_absolute() {
                additional.insert(name.clone(), relative(Path::new(&value))?);
            }
            additional_contexts.insert(name.clone(), value);
        }
        let sources = BuildSources {
            dockerfile: inline.is_none().then(|| relative(&context.join(&dockerfile))).transpose()?,
            context: relative(&context)?,
            additional,
        };
        let request = BuildRequest {
            service: service.to_owned(),
            tag: String::new(),
            interim: String::new(),
            dockerfile: inline.is_none().then_some(dockerfile),
            dockerfile_inline: inline,
            target: text("target"),
            platform: build
                .get("platforms")
                .and_then(|list| list.get(0))
                .or(whole.get("platform"))
                .and_then(|platform| platform.as_str().map(unescaped)),
            args: args(build),
            additional_contexts,
            network_none: text("network").as_deref() == Some("none"),
            extra_hosts: texts(build.get("extra_hosts")),
            secrets: secrets(service, build, document)?,
            labels: BTreeMap::new(),
            pull: false,
            no_cache: false,
            remote: false,
            builder: None,
            cgroup_parent: None,
            time_limit: Duration::ZERO,
            context,
        };
        Ok(Self { request, sources })
    }

    /// `service:NAME` becomes the image that is made for that service, or the one it names.
    pub(super) fn stand_upon(&mut self, others: &BTreeMap<String, BuildRequest>, document: &Value) {
        for value in self.request.additional_contexts.values_mut() {
            let Some(name) = value.strip_prefix("service:") else { continue };
            let image = others.get(name).map(|other| other.tag.clone());
            let named = || document["services"][name]["image"].as_str().map(unescaped);
            if let Some(image) = image.or_else(named) {
                *value = format!("docker-image://{image}");
            }
        }
    }

    pub(super) fn recipe(&self, instance: &InstanceId) -> BuildRecipe {
        let elsewhere = |value: &&String| !Path::new(value.as_str()).is_absolute();
        let contexts = self.request.additional_contexts.iter().filter(|(_, value)| elsewhere(value));
        BuildRecipe {
            args: self.request.args.clone(),
            target: self.request.target.clone(),
            platform: self.request.platform.clone(),
            dockerfile_inline: self.request.dockerfile_inline.clone(),
            additional: contexts.map(|(name, value)| (name.clone(), value.clone())).collect(),
            network_none: self.request.network_none,
            extra_hosts: self.request.extra_hosts.clone(),
            instance: instance.to_string(),
        }
    }
}

/// Build secrets by id, each a file of the checkout; policy has seen to that.
fn secrets(service: &str, build: &Value, document: &Value) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut secrets = BTreeMap::new();
    for secret in build.get("secrets").and_then(Value::as_array).into_iter().flatten() {
        let source = secret["source"].as_str().unwrap_or_default();
        let id = secret["target"].as_str().filter(|target| !target.is_empty()).unwrap_or(source);
        let Some(file) = document["secrets"][source]["file"].as_str() else {
            return Err(Failure::Blocked(format!(
                "services.{service}.build.secrets: {source} has no `file`; a build gets secrets from files of the \
                 repository only"
            )));
        };
        secrets.insert(unescaped(id), PathBuf::from(unescaped(file)));
    }
    Ok(secrets)
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(unescaped)).collect()
}

fn args(build: &Value) -> BTreeMap<String, String> {
    let args = build.get("args").and_then(Value::as_object).into_iter().flatten();
    args.filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name.clone(), unescaped(text))),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some((name.clone(), value.to_string()))
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn builds_get_secrets_from_files_only() {
        let build = json!({ "secrets": [{ "source": "npm" }, { "source": "key", "target": "k" }] });
        let document = json!({ "secrets": { "npm": { "file": "/co/$$npm" }, "key": { "file": "/co/key" } } });
        let found = secrets("web", &build, &document).unwrap();
        assert_eq!(found["npm"], PathBuf::from("/co/$npm"));
        assert_eq!(found["k"], PathBuf::from("/co/key"));
        assert!(
            secrets("web", &build, &json!({}))
                .unwrap_err()
                .to_string()
                .contains("services.web.build.secrets")
        );
    }
}
