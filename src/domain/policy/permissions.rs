//! What the operator grants: single, named permissions of a repository, registries, and counts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use thiserror::Error;

/// A permission that policy does not know.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "permission {0:?} is not known; there are: bind-rw, build-remote, cap:NAME, device:/dev/NAME, dns, extra-host:ADDRESS, gpus, sysctl:NAME"
)]
pub struct PermissionError(pub String);

/// Counts and sizes above which a file is refused, or a value clamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyLimits {
    pub services: usize,
    pub networks: usize,
    pub volumes: usize,
    /// Configs, and secrets.
    pub resources: usize,
    /// Ports of one service, and exposed ones.
    pub ports: usize,
    /// Containers of one service.
    pub replicas: u64,
    /// Containers of the whole environment.
    pub replicas_total: u64,
    /// Size of one tmpfs.
    pub tmpfs_bytes: u64,
    /// `/dev/shm` of one container.
    pub shm_bytes: u64,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self {
            services: 50,
            networks: 16,
            volumes: 64,
            resources: 64,
            ports: 256,
            replicas: 10,
            replicas_total: 50,
            tmpfs_bytes: 256 << 20,
            shm_bytes: 256 << 20,
        }
    }
}

/// What a repository may do beyond the strict default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    allow: BTreeSet<String>,
    registries: Vec<String>,
    pub limits: PolicyLimits,
}

impl Default for Permissions {
    fn default() -> Self {
        Self { allow: BTreeSet::new(), registries: vec!["*".to_owned()], limits: PolicyLimits::default() }
    }
}

impl Permissions {
    /// `allow` as in the configuration of a repository; `registries` as in `[engine]`: globs with `*`, on the host
    /// or on host and path.
    pub fn new(allow: &[String], registries: &[String]) -> Result<Self, PermissionError> {
        if let Some(unknown) = allow.iter().find(|text| !is_known(text)) {
            return Err(PermissionError(unknown.clone()));
        }
        Ok(Self {
            allow: allow.iter().cloned().collect(),
            registries: registries.to_vec(),
            ..Self::default()
        })
    }

    pub fn with_limits(mut self, limits: PolicyLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether the builder itself may fetch addresses that a Dockerfile names.
    pub fn allows_remote_builds(&self) -> bool {
        self.allows("build-remote")
    }

    pub(in crate::domain) fn allows(&self, permission: &str) -> bool {
        self.allow.contains(permission)
    }

    pub(super) fn registries(&self) -> &[String] {
        &self.registries
    }
}

fn is_known(text: &str) -> bool {
    let name_of = |prefix| text.strip_prefix(prefix).filter(|name: &&str| !name.is_empty());
    let plain =
        |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if let Some(name) = name_of("cap:") {
        return name != "ALL" && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    }
    if let Some(path) = name_of("device:") {
        return path.starts_with("/dev/") && !path.contains("..");
    }
    if let Some(address) = name_of("extra-host:") {
        return address.parse::<IpAddr>().is_ok();
    }
    if let Some(name) = name_of("sysctl:") {
        return plain(name);
    }
    matches!(text, "bind-rw" | "build-remote" | "dns" | "gpus")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_permissions_are_named() {
        let of = |text: &str| Permissions::new(&[text.to_owned()], &[]);
        for good in [
            "bind-rw",
            "cap:SYS_PTRACE",
            "device:/dev/fuse",
            "extra-host:203.0.113.7",
            "sysctl:net.core.rmem_max",
        ] {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "cap:",
            "cap:ALL",
            "cap:sys_ptrace",
            "device:/etc",
            "device:/dev/../etc",
            "privileged",
            "extra-host:x",
        ] {
            assert_eq!(of(bad), Err(PermissionError(bad.to_owned())));
        }
    }
}
