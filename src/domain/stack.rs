//! The stack: the compose project of an environment, as drey deploys it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::backend::Manner;
use super::path::PathPrefix;
use super::route::Scheme;
use super::settings::StackSettings;

/// A rewritten compose project: the document that is deployed to the letter, and what drey needs to know of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// Canonical compose document; networks and volumes are `external`, made by drey from the specs below.
    pub document: Value,
    /// SHA-256 of `document`, lower-case hex.
    pub digest: String,
    pub services: BTreeMap<String, Service>,
    pub networks: Vec<NetworkSpec>,
    pub volumes: Vec<VolumeSpec>,
    pub binds: Vec<BindSpec>,
    /// The primary comes first.
    pub routes: Vec<RouteSpec>,
    pub readiness: ReadinessSpec,
    /// Absent in what older versions have stored.
    #[serde(default)]
    pub settings: StackSettings,
}

/// What readiness and routing need to know of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub image: String,
    pub replicas: u32,
    pub has_health_check: bool,
    /// Exit code 0 is its proper end: `restart: no` in the file, or somebody waits for its completion.
    pub may_complete: bool,
    /// Service → condition, as in `depends_on`.
    pub depends_on: BTreeMap<String, Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    ServiceStarted,
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

/// A network to be made by drey before `up`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its key in the compose file.
    pub key: String,
    /// Its name on the engine: `<project>_<key>`.
    pub name: String,
    pub internal: bool,
    pub mtu: Option<u16>,
    /// IPv4 subnet in CIDR form, kept for the environment's life.
    pub subnet: String,
    /// Digest of everything above but the subnet.
    pub definition: String,
}

/// A volume to be made by drey before `up`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Its key in the compose file; for anonymous and image volumes `<service>-<digest of the path>`.
    pub key: String,
    /// Its name on the engine: `<project>_<key>`.
    pub name: String,
    /// `driver_opts`; only those that policy lets through (tmpfs).
    pub driver_opts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// Digest of the definition (driver and options, labels apart): a change blocks, because it would lose data.
    pub definition: String,
}

/// A file or folder of the checkout that a container sees, read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindSpec {
    /// Path inside the checkout, `/`-separated, without a leading slash; empty for the root.
    pub source: String,
    /// Folder name under the environment's `binds/`: the content's git id, so that it changes only with the content.
    pub content_id: String,
    pub is_file: bool,
}

/// Name of a bound file inside the folder of its content id: the same content may be bound under several names.
pub const BOUND_FILE: &str = "file";

/// A hostname's first part and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    pub service: String,
    pub port: u16,
    pub scheme: Scheme,
    /// Empty for the primary: `<slug>.<domain>`; else `<slug>--<label>.<domain>`.
    pub label: String,
    /// What the paths begin with that lead here; the longest one counts.
    #[serde(default, skip_serializing_if = "PathPrefix::is_root")]
    pub path: PathPrefix,
    /// The service sees them without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip_path: bool,
    /// Engine name of the network through which the proxy reaches the service.
    pub network: String,
    /// The service whose container has the address, where it is not this one: `network_mode: service:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_service: Option<String>,
    /// Absent in what older versions have stored.
    #[serde(default, skip_serializing_if = "Manner::is_usual")]
    pub manner: Manner,
}

/// How the start is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessSpec {
    /// Path that is asked at the primary.
    pub path: String,
    /// Deadline over `up` and probing, in seconds.
    pub within_seconds: u64,
}
