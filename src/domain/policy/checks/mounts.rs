//! Files, folders and volumes that a service sees.

use serde_json::{Map, Value, json};

use super::super::bytes::parse_bytes;
use super::super::facts::{PathFact, files_of, real_path};
use super::super::inspection::{Inspection, Place};
use super::super::limits::bytes;
use super::super::rule::Rule;
use super::super::table::Row;
use super::{image, items, pairs, scalar_text, shown};

/// One entry of `volumes` of a service.
pub(super) fn mount(inspection: &mut Inspection<'_>, place: &Place, row: &Row, mount: &Map<String, Value>) {
    if let Some(subpath) = ["volume", "image"].iter().find_map(|part| text(mount.get(*part)?, "subpath"))
        && (subpath.starts_with('/') || subpath.split('/').any(|part| part == ".."))
    {
        inspection.reject(place, row, "`subpath` leads out of the volume");
    }
    match mount.get("type").and_then(Value::as_str) {
        Some("bind") => bind(inspection, place, row, mount),
        Some("volume") => volume(inspection, place, row, mount),
        Some("tmpfs") => tmpfs(inspection, place, mount),
        Some("image") => {
            let source = mount.get("source").unwrap_or(&Value::Null);
            if let Some(reason) =
                image::refusal(&scalar_text(source).unwrap_or_default(), inspection.permissions)
            {
                let message = format!("the image {} {reason}; {}", shown(source), row.instead);
                inspection.reject_as(place, Rule::Image, &message);
            }
        }
        _ => inspection.reject(place, row, "this type of mount reaches the host"),
    }
}

/// A bind is always of the checkout, always there, and read-only unless the operator granted `bind-rw`.
fn bind(inspection: &mut Inspection<'_>, place: &Place, row: &Row, mount: &Map<String, Value>) {
    let source = mount.get("source").and_then(Value::as_str).unwrap_or_default();
    let fact = if source.starts_with('/') { inspection.fact(&real_path(source)) } else { PathFact::Outside };
    let reason = match fact {
        PathFact::File | PathFact::Directory | PathFact::Root => None,
        PathFact::Outside => Some("leads out of the repository"),
        PathFact::Git => Some("leads into the git data"),
        PathFact::Missing => Some("is not in the repository"),
        PathFact::Special => Some("is not a file or a folder"),
    };
    if let Some(reason) = reason {
        let source = shown(&Value::String(source.to_owned()));
        inspection.reject(place, row, &format!("the source {source} {reason}"));
    }
    let options = mount.get("bind").unwrap_or(&Value::Null);
    if let Some(propagation) =
        text(options, "propagation").filter(|p| !["", "private", "rprivate"].contains(p))
    {
        let at = place.child("bind").child("propagation");
        inspection.reject(&at, row, &format!("`{propagation}` shares mounts with the host"));
    }
    if options.get("create_host_path").is_some() {
        inspection.set_silently(&place.child("bind").child("create_host_path"), json!(false));
    }
    let writable = mount.get("read_only") != Some(&Value::Bool(true));
    if writable && (fact == PathFact::Root || !inspection.permissions.allows("bind-rw")) {
        let message =
            "files of the repository are mounted read-only; use a volume for what the service writes";
        inspection.set(&place.child("read_only"), Rule::Bind, message, json!(true));
    } else if writable {
        // Said in so many words: what says nothing of it is deployed read-only.
        inspection.set_silently(&place.child("read_only"), json!(false));
    }
}

/// A volume of this file, or an anonymous one.
fn volume(inspection: &mut Inspection<'_>, place: &Place, row: &Row, mount: &Map<String, Value>) {
    let source = scalar_text(mount.get("source").unwrap_or(&Value::Null)).unwrap_or_default();
    if !source.is_empty() && !inspection.declares("volumes", &source) {
        inspection.reject(place, row, &format!("the volume `{source}` is not declared in this file"));
    }
}

fn tmpfs(inspection: &mut Inspection<'_>, place: &Place, mount: &Map<String, Value>) {
    let asked = mount.get("tmpfs").and_then(|options| options.get("size"));
    let limit = inspection.permissions.limits.tmpfs_bytes;
    if asked.and_then(bytes).is_some_and(|asked| asked <= limit) {
        return;
    }
    let message = format!("a tmpfs has at most {limit} bytes, because it counts as memory");
    let mut options = mount.get("tmpfs").and_then(Value::as_object).cloned().unwrap_or_default();
    options.insert("size".to_owned(), json!(limit.to_string()));
    let at = place.child("tmpfs");
    if asked.is_some() {
        inspection.set(&at, Rule::Limits, &message, Value::Object(options));
    } else {
        inspection.set_silently(&at, Value::Object(options));
    }
}

/// `tmpfs` of a service: `/path:size=64m,mode=1777`, rewritten with a size and harmless options only.
pub(super) fn tmpfs_list(inspection: &mut Inspection<'_>, place: &Place, value: &Value) {
    let limit = inspection.permissions.limits.tmpfs_bytes;
    let mut changed = false;
    let mounts: Vec<Value> = items(value)
        .into_iter()
        .map(|item| {
            let (mount, said) = capped_tmpfs(&scalar_text(item).unwrap_or_default(), limit);
            changed |= said;
            json!(mount)
        })
        .collect();
    let message = format!("a tmpfs has at most {limit} bytes and plain options, because it counts as memory");
    if changed {
        inspection.set(place, Rule::Limits, &message, Value::Array(mounts));
    } else {
        inspection.set_silently(place, Value::Array(mounts));
    }
}

/// The mount with its size capped, and whether something that was written has changed.
fn capped_tmpfs(text: &str, limit: u64) -> (String, bool) {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let mut kept = Vec::new();
    let (mut size, mut changed) = (None, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "size" => size = Some(parse_bytes(value).filter(|bytes| (1..=limit).contains(bytes))),
            "mode" | "uid" | "gid" | "nr_inodes" if value.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                kept.push(option);
            }
            "ro" | "rw" | "exec" | "noexec" | "nosuid" | "nodev" | "noatime" | "relatime"
                if value.is_empty() =>
            {
                kept.push(option);
            }
            _ => changed = true,
        }
    }
    changed |= size == Some(None);
    let size = format!("size={}", size.flatten().unwrap_or(limit));
    kept.push(&size);
    (format!("{path}:{}", kept.join(",")), changed)
}

/// `driver_opts` of a volume: a tmpfs and nothing else.
pub(super) fn volume_options(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    let options = pairs(value);
    let of = |key: &str| options.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_deref());
    let known = options.iter().all(|(name, _)| ["type", "device", "o"].contains(&name.as_str()));
    let flags: Vec<&str> = of("o").unwrap_or_default().split(',').filter(|flag| !flag.is_empty()).collect();
    let harmless = |flag: &&str| {
        flag.split_once('=').is_some_and(|(name, value)| {
            ["size", "uid", "gid", "mode"].contains(&name)
                && !value.is_empty()
                && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'%' || b == b'.')
        })
    };
    if !known || of("type") != Some("tmpfs") || of("device") != Some("tmpfs") || !flags.iter().all(harmless) {
        return inspection.reject(place, row, "these options can mount what belongs to the host");
    }
    let limit = inspection.permissions.limits.tmpfs_bytes;
    let asked = flags.iter().rev().find_map(|flag| flag.strip_prefix("size="));
    if asked.and_then(parse_bytes).is_some_and(|bytes| (1..=limit).contains(&bytes)) {
        return;
    }
    let mut kept: Vec<&str> = flags.iter().copied().filter(|flag| !flag.starts_with("size=")).collect();
    let size = format!("size={limit}");
    kept.push(&size);
    let message = format!("a tmpfs has at most {limit} bytes, because it counts as memory");
    inspection.set(&place.child("o"), Rule::Limits, &message, json!(kept.join(",")));
}

/// `file` of a config or secret.
pub(super) fn resource_file(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    files_to_read(inspection, place, row, value);
    let path = value.as_str().unwrap_or_default();
    if path.starts_with('/') && inspection.fact(&real_path(path)) == PathFact::Missing {
        inspection.reject(place, row, &format!("{} is not in the repository", shown(value)));
    }
}

/// Files that are read when the stack is made; one that is not there is left to Compose to report.
pub(super) fn files_to_read(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for path in files_of(Some(value)) {
        let fact = if path.is_absolute() { inspection.fact(&path) } else { PathFact::Outside };
        let reason = match fact {
            PathFact::File | PathFact::Missing => continue,
            PathFact::Outside => "leads out of the repository",
            PathFact::Git => "leads into the git data",
            PathFact::Directory | PathFact::Root | PathFact::Special => "is not a regular file",
        };
        let path = shown(&Value::String(path.display().to_string()));
        inspection.reject(place, row, &format!("{path} {reason}"));
    }
}

/// `configs` and `secrets` of a service: each must be declared at the top, where its file is checked.
pub(super) fn service_resources(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    let kind = if place.key.ends_with("configs") { "configs" } else { "secrets" };
    declared(inspection, place, row, value, kind);
}

/// Names (a map's keys, texts, or objects with `source`) that must be in the top-level map `kind`.
pub(super) fn declared(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value, kind: &str) {
    let names: Vec<String> = match value {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => items(value)
            .into_iter()
            .map(|item| scalar_text(item.get("source").unwrap_or(item)).unwrap_or_default())
            .collect(),
    };
    for name in names {
        if !inspection.declares(kind, &name) {
            inspection.reject(&place.child(&name), row, &format!("it is not among the {kind} of this file"));
        }
    }
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_are_capped() {
        let limit = 64 << 20;
        let capped = |text| capped_tmpfs(text, limit);
        assert_eq!(capped("/tmp"), ("/tmp:size=67108864".to_owned(), false));
        assert_eq!(capped("/tmp:size=16m,mode=1777"), ("/tmp:mode=1777,size=16777216".to_owned(), false));
        assert_eq!(capped("/tmp:size=2g"), ("/tmp:size=67108864".to_owned(), true));
        assert_eq!(capped("/tmp:size=50%"), ("/tmp:size=67108864".to_owned(), true));
        assert_eq!(capped("/tmp:size=1m,size=0,dev"), ("/tmp:size=67108864".to_owned(), true));
    }
}
