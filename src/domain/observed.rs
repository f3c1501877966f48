//! What is really there: a snapshot of the engine for one environment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::names::ProjectName;

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
    /// Exit code of the last time that it ended, while the engine is about to start it again.
    #[serde(default)]
    pub last_exit: Option<i64>,
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

/// What a daemon has on the engine, at a glance: for each project lines that stay the same as long as nothing changes that
/// routes or repairs are about. Whoever finds them changed looks closely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance(pub BTreeMap<ProjectName, BTreeSet<String>>);

impl Glance {
    pub fn add(&mut self, project: ProjectName, line: String) {
        self.0.entry(project).or_default().insert(line);
    }

    /// Whether the project is in `earlier` as it is here; one that has nothing is like one that is not there.
    pub fn is_as_in(&self, earlier: &Self, project: &ProjectName) -> bool {
        let nothing = BTreeSet::new();
        self.0.get(project).unwrap_or(&nothing) == earlier.0.get(project).unwrap_or(&nothing)
    }
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
    /// What it takes on the engine, layers that it shares with others among it.
    #[serde(default)]
    pub size_bytes: u64,
}
