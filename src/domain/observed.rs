//! What is really there: a snapshot of the engine for one environment.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Everything the engine holds under one compose project. Lists are sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub containers: Vec<Container>,
    pub networks: Vec<Network>,
    pub volumes: Vec<Volume>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub name: String,
    /// Compose service; from the label `com.docker.compose.service`.
    pub service: String,
    /// Image reference as the container was created with.
    pub image: String,
    pub state: ContainerState,
    pub health: Health,
    /// Engine network name → address in it. Empty unless it runs.
    pub addresses: BTreeMap<String, IpAddr>,
    pub restarts: u64,
    /// Made by `docker compose run`, not part of the service.
    pub oneoff: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "code")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Restarting,
    /// With its exit code.
    Exited(i64),
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Neither the image nor the compose file has a health check.
    None,
    Starting,
    Healthy,
    Unhealthy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub name: String,
    pub id: String,
    /// The label `drey.definition`: digest of the definition it was made from.
    pub definition: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    /// The label `drey.definition`: digest of the definition it was made from.
    pub definition: Option<String>,
}

/// What is known of an image that the engine holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    pub id: String,
    /// `repository@sha256:…`, as the registries it came from know it; sorted.
    #[serde(default)]
    pub digests: Vec<String>,
    /// `EXPOSE`, TCP only, in rising order.
    pub exposed_ports: Vec<u16>,
    /// `VOLUME` paths, sorted.
    pub volumes: Vec<String>,
    pub has_health_check: bool,
}
