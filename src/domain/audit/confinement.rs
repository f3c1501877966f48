//! What the engine says of a container's borders, in plain words.

use std::collections::BTreeMap;

/// How one container is confined, as the engine tells it when asked; numbers of 0 or less mean "no limit".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    pub id: String,
    pub name: String,
    /// Compose service.
    pub service: String,
    pub labels: BTreeMap<String, String>,
    pub privileged: bool,
    /// As the engine spells them, with or without `CAP_`.
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security_opt: Vec<String>,
    /// Parts of `/proc` and `/sys` are hidden, as they are unless somebody asks otherwise.
    pub hides_kernel: bool,
    pub name_spaces: NameSpaces,
    pub memory_bytes: i64,
    /// Memory and swap together; -1: swap without end.
    pub swap_bytes: i64,
    pub cpus_limited: bool,
    pub pids: i64,
    pub oom_kill_disabled: bool,
    pub oom_score: i64,
    pub log: LogFact,
    pub mounts: Vec<MountFact>,
    /// Containers whose volumes it has, by id or name.
    pub volumes_from: Vec<String>,
    /// Paths of devices of the host.
    pub devices: Vec<String>,
    pub device_rules: Vec<String>,
    /// Wishes for devices by driver and capability (GPUs, CDI names).
    pub device_requests: Vec<DeviceRequestFact>,
    /// Ports of the host, as `port/protocol`; `*` where all are published.
    pub published: Vec<String>,
    pub sysctls: Vec<String>,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    pub annotations: Vec<String>,
    pub links: Vec<String>,
    /// `None`: the engine's own.
    pub runtime: Option<String>,
    pub cgroup_parent: String,
}

/// Name spaces as the engine spells them; empty: a new one of the engine's default kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSpaces {
    /// `network_mode`.
    pub network: String,
    /// Networks that it is in, by name.
    pub networks: Vec<String>,
    pub pid: String,
    pub ipc: String,
    pub uts: String,
    pub user: String,
    pub cgroup: String,
}

/// Where the output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFact {
    pub driver: String,
    pub is_limited: bool,
}

/// Something mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountFact {
    /// `bind`, `volume`, `tmpfs`, `image`, …
    pub kind: String,
    /// Path on the host of a bind; name of a volume.
    pub source: String,
    pub target: String,
    pub writable: bool,
    /// Driver of a volume.
    pub driver: String,
    /// Of a tmpfs: it has a size.
    pub is_sized: bool,
}

/// A wish for devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRequestFact {
    pub driver: String,
    pub is_gpu: bool,
}
