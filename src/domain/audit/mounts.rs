//! What a container sees of files.

use std::path::{Component, Path};

use serde_json::Value;

use super::{Look, MountFact};
use crate::domain::policy::Rule;

/// Length of the names that the engine gives to volumes without one.
const NAMELESS: usize = 64;

pub(super) fn check(look: &mut Look<'_>) {
    let container = look.container;
    for mount in &container.mounts {
        match mount.kind.as_str() {
            "bind" => bind(look, mount),
            "volume" => volume(look, mount),
            "tmpfs" if mount.is_sized || look.overlay("tmpfs").is_some() => {}
            "tmpfs" => look.breach(Rule::Limits, format!("has a tmpfs without a size at {}", mount.target)),
            "image" => {}
            other => {
                look.breach(Rule::Bind, format!("has a mount of the type {other:?} at {}", mount.target));
            }
        }
    }
    for source in &container.volumes_from {
        let name = source.split(':').next().unwrap_or_default();
        if !look.own.contains(name) {
            look.breach(Rule::VolumesFrom, format!("has the volumes of the container {name}"));
        }
    }
}

fn bind(look: &mut Look<'_>, mount: &MountFact) {
    let (source, target) = (mount.source.as_str(), mount.target.as_str());
    if is_of_operator(look.overlay("volumes"), source) {
        return;
    }
    let path = Path::new(source);
    let is_plain = path.components().all(|part| !matches!(part, Component::ParentDir));
    let is_inside = look.expected.folders.iter().any(|folder| path.starts_with(folder) && path != folder);
    if !is_plain || !is_inside {
        look.breach(Rule::Bind, format!("sees {source} of the host at {target}"));
    } else if mount.writable && !look.expected.permissions.allows("bind-rw") {
        look.breach(Rule::Bind, format!("may write to {source} at {target}"));
    }
}

/// A mount that the operator puts on every service, in either way of writing.
fn is_of_operator(volumes: Option<&Value>, source: &str) -> bool {
    let written = |mount: &Value| {
        let short = mount.as_str().and_then(|text| text.split(':').next()).map(str::to_owned);
        short.or_else(|| mount.get("source").and_then(Value::as_str).map(str::to_owned))
    };
    volumes.and_then(Value::as_array).into_iter().flatten().filter_map(written).any(|it| it == source)
}

/// One of the environment's own, or one without a name, which the engine makes for a single container.
fn volume(look: &mut Look<'_>, mount: &MountFact) {
    let name = mount.source.as_str();
    let is_nameless = name.len() == NAMELESS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_own = name.starts_with(&format!("{}_", look.expected.project));
    if !is_own && !is_nameless && !is_of_operator(look.overlay("volumes"), name) {
        look.breach(Rule::ExternalVolume, format!("has the volume {name} at {}", mount.target));
    }
    if !["", "local"].contains(&mount.driver.as_str()) {
        look.breach(
            Rule::VolumeDriver,
            format!("has a volume of the driver {} at {}", mount.driver, mount.target),
        );
    }
}
