//! Which images may be used.

use std::net::IpAddr;

use serde_json::Value;

use super::super::inspection::{Inspection, Place};
use super::super::permissions::Permissions;
use super::super::table::Row;
use super::{Found, shown};

/// The image of a service; with `build` the name is dropped, because drey names what it builds.
pub(super) fn of_service(inspection: &mut Inspection<'_>, place: &Place, row: &Row, found: Found<'_>) {
    let built = found.siblings.get("build").is_some_and(|build| !build.is_null());
    if built {
        let reason = format!("what `build` makes does not get the name {}", shown(found.value));
        inspection.neutralise_with(place, row.rule, &format!("{reason}, but one made from its content"));
    } else {
        used(inspection, place, row, found.value);
    }
}

/// An image that is taken from the engine or a registry.
pub(super) fn used(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    let reference = value.as_str().unwrap_or_default();
    if let Some(reason) = refusal(reference, inspection.permissions) {
        inspection.reject(place, row, &format!("the image {} {reason}", shown(value)));
    }
}

/// Why an image reference may not be used.
pub(in crate::domain::policy) fn refusal(reference: &str, permissions: &Permissions) -> Option<String> {
    if reference.is_empty() || reference.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("is not an image name".to_owned());
    }
    let lower = reference.to_ascii_lowercase();
    if lower.starts_with("sha256:") || lower.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some("can be the id of somebody else's image; write a tag, as in `name:latest`".to_owned());
    }
    let (registry, path) = split(&lower);
    if registry == "docker.io" && is_of_drey(path) {
        return Some("belongs to drey: images of other branches are not for use".to_owned());
    }
    if !permissions.registries().iter().any(|glob| admits(glob, registry, path)) {
        return Some(format!(
            "comes from {registry}, which is not among the registries that the operator allows"
        ));
    }
    None
}

/// Registry and repository, without tag and digest; normalised as the engine does.
fn split(reference: &str) -> (&str, &str) {
    let name = reference.split('@').next().unwrap_or_default();
    let (registry, rest) = match name.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':', '[']) => (first, rest),
        _ => ("docker.io", name),
    };
    let tag = rest.rfind(':').filter(|colon| !rest.get(*colon..).unwrap_or_default().contains('/'));
    let path = tag.and_then(|colon| rest.get(..colon)).unwrap_or(rest);
    match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            ("docker.io", path.strip_prefix("library/").unwrap_or(path))
        }
        other => (other, path),
    }
}

/// `drey/…` is what drey builds; `drey-…` without a folder is what Compose would name in a project of drey's.
fn is_of_drey(path: &str) -> bool {
    match path.split_once('/') {
        Some((first, _)) => first == "drey",
        None => path == "drey" || path.starts_with("drey-") || path.starts_with("drey_"),
    }
}

/// A glob on the host, with or without port, or on host and path. Addresses and names of this machine must be
/// spelled out: `*` does not mean them.
fn admits(glob: &str, registry: &str, path: &str) -> bool {
    let glob = glob.trim().to_ascii_lowercase();
    let host = host_of(registry);
    if is_near(host) && !glob.starts_with(host) && !glob.starts_with(&format!("[{host}]")) {
        return false;
    }
    if glob.contains('/') {
        return matches(&glob, &format!("{registry}/{path}"));
    }
    matches(&glob, registry) || matches(&glob, host)
}

fn host_of(registry: &str) -> &str {
    if let Some(rest) = registry.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    registry.rsplit_once(':').map_or(registry, |(host, _)| host)
}

/// An address, or a name for this machine. Numbers are addresses in every notation that resolvers accept.
fn is_near(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or(host);
    let numeric = last.starts_with("0x") || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
    numeric
        || host.parse::<IpAddr>().is_ok()
        || last == "localhost"
        || host.ends_with(".docker.internal")
        || host.ends_with(".localdomain")
}

/// `*` stands for any run of characters.
fn matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reference: &str, registries: &[&str]) -> bool {
        let registries: Vec<String> = registries.iter().map(ToString::to_string).collect();
        refusal(reference, &Permissions::new(&[], &registries).unwrap()).is_some()
    }

    #[test]
    fn images_of_drey_and_bare_ids_are_refused_under_every_spelling() {
        for bad in [
            "drey/shop/web:abc",
            "docker.io/drey/shop/web",
            "index.docker.io/drey/x",
            "docker.io/library/drey-a1b2c3-4-x-web",
            "drey-shop-other-api:latest",
            "DREY/x",
            "sha256:aaaa",
            "deadbeef",
            "a",
            "",
            "x y",
        ] {
            assert!(refused(bad, &["*"]), "{bad}");
        }
        for good in [
            "busybox:1.36",
            "drey-demo/tiny:1",
            "ghcr.io/drey/x",
            "cafe:latest",
            "a.example:5000/x/y@sha256:aa",
        ] {
            assert!(!refused(good, &["*"]), "{good}");
        }
    }

    #[test]
    fn this_machine_counts_only_when_named() {
        for near in [
            "localhost/x",
            "localhost:5000/x",
            "127.0.0.1:5000/x",
            "[::1]:5000/x",
            "2130706433:5000/x",
            "0x7f000001:5000/x",
            "127.1:80/x",
            "a.localhost:80/x",
            "host.docker.internal:80/x",
        ] {
            assert!(refused(near, &["*"]), "{near}");
        }
        assert!(!refused("localhost:5000/x", &["localhost:5000"]));
        assert!(!refused("127.0.0.1:5000/x", &["127.0.0.1:*"]));
        assert!(refused("localhost:5001/x", &["localhost:5000"]));
    }

    #[test]
    fn registries_are_globs_on_host_or_path() {
        assert!(refused("busybox", &["ghcr.io"]));
        assert!(!refused("busybox", &["docker.io"]));
        assert!(!refused("a.example.org:443/x", &["*.example.org"]));
        assert!(refused("evil.org/a.example.org/x", &["*.example.org"]));
        assert!(!refused("ghcr.io/acme/x:1", &["ghcr.io/acme/*"]));
        assert!(refused("ghcr.io/other/x:1", &["ghcr.io/acme/*"]));
    }
}
