//! One image to build as the builder's own document, which it reads from its standard input.
//!
//! The document is read as HCL in JSON: what looks like a template in a string is escaped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::ports::{BuildRequest, PortError, PortResult};

/// Name of the one target.
pub(super) const TARGET: &str = "image";

/// Never an entitlement, and no network but none: a build gets no more than the builder gives to everybody.
pub(super) fn definition(request: &BuildRequest, dockerfile: &Path) -> Value {
    let mut target = Map::new();
    let mut set = |name: &str, value: Value| target.insert(name.to_owned(), value);
    set("context", text(&request.context.to_string_lossy()));
    set("dockerfile", text(&dockerfile.to_string_lossy()));
    set("tags", json!([text(&request.tag)]));
    set("output", json!(["type=docker"]));
    set("args", map(&request.args));
    set("labels", map(&request.labels));
    set("contexts", map(&request.additional_contexts));
    if let Some(stage) = &request.target {
        set("target", text(stage));
    }
    if let Some(platform) = &request.platform {
        set("platforms", json!([text(platform)]));
    }
    if request.network_none {
        set("network", json!("none"));
    }
    if !request.extra_hosts.is_empty() {
        let hosts = request.extra_hosts.iter().filter_map(|host| host.split_once('='));
        set("extra-hosts", hosts.map(|(name, address)| (escaped(name), text(address))).collect());
    }
    let secrets = request.secrets.iter();
    set(
        "secret",
        secrets.map(|(id, file)| text(&format!("\"id={id}\",\"src={}\"", file.display()))).collect(),
    );
    set("pull", json!(request.pull));
    set("no-cache", json!(request.no_cache));
    json!({ "group": { "default": { "targets": [TARGET] } }, "target": { TARGET: target } })
}

/// The Dockerfile's path; an inline one is written into `folder` first.
pub(super) fn dockerfile(request: &BuildRequest, folder: &Path) -> PortResult<PathBuf> {
    let Some(inline) = &request.dockerfile_inline else {
        return Ok(request.context.join(request.dockerfile.as_deref().unwrap_or("Dockerfile")));
    };
    let path = folder.join("Dockerfile");
    std::fs::write(&path, inline).map_err(|error| {
        PortError::outside("the build", format!("cannot write {}: {error}", path.display()))
    })?;
    Ok(path)
}

fn map(values: &BTreeMap<String, String>) -> Value {
    values.iter().map(|(name, value)| (escaped(name), text(value))).collect()
}

fn text(value: &str) -> Value {
    Value::String(escaped(value))
}

/// `${` and `%{` begin a template; doubling the first character takes that away.
fn escaped(value: &str) -> String {
    value.replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> BuildRequest {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        BuildRequest {
            service: "web".to_owned(),
            tag: "drey/shop/web:00".to_owned(),
            context: PathBuf::from("/co/web"),
            dockerfile: Some("docker/Dockerfile".to_owned()),
            dockerfile_inline: None,
            target: Some("--allow=security.insecure".to_owned()),
            platform: None,
            args: map("A", "$(id) ${HOME} %{if} --network=host"),
            additional_contexts: map("base", "docker-image://drey/shop/base:11"),
            network_none: true,
            extra_hosts: vec!["a=1.2.3.4".to_owned()],
            secrets: [("token".to_owned(), PathBuf::from("/co/a,b"))].into(),
            labels: map("drey.managed", "true"),
            pull: true,
            no_cache: false,
        }
    }

    #[test]
    fn every_value_is_a_value_and_nothing_a_template() {
        let definition = definition(&request(), Path::new("/co/web/docker/Dockerfile"));
        assert_eq!(
            definition["target"]["image"],
            json!({
                "context": "/co/web",
                "dockerfile": "/co/web/docker/Dockerfile",
                "tags": ["drey/shop/web:00"],
                "output": ["type=docker"],
                "args": { "A": "$(id) $${HOME} %%{if} --network=host" },
                "labels": { "drey.managed": "true" },
                "contexts": { "base": "docker-image://drey/shop/base:11" },
                "target": "--allow=security.insecure",
                "network": "none",
                "extra-hosts": { "a": "1.2.3.4" },
                "secret": ["\"id=token\",\"src=/co/a,b\""],
                "pull": true,
                "no-cache": false,
            })
        );
    }

    #[test]
    fn an_inline_dockerfile_lies_in_the_builds_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        let request = BuildRequest { dockerfile_inline: Some("FROM scratch\n".to_owned()), ..request() };
        let path = dockerfile(&request, folder.path()).unwrap();
        assert_eq!(path.parent(), Some(folder.path()));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "FROM scratch\n");
    }
}
