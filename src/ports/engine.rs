//! The container engine, less what compose does.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{LogSink, PortResult};
use crate::domain::names::ProjectName;
use crate::domain::observed::{Glance, ImageFacts, Observed};
use crate::domain::orphans::Claim;

/// Docker Engine through its API.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Version line of the engine, or why it does not answer.
    async fn ping(&self) -> PortResult<String>;
    /// Everything of one project: containers also when stopped, networks, volumes.
    async fn observe(&self, project: &ProjectName) -> PortResult<Observed>;
    /// Facts of an image that is there; `None` when it is not.
    async fn image(&self, reference: &str) -> PortResult<Option<ImageFacts>>;
    /// Pulls with the credentials configured for the reference's registry; progress goes to `log`.
    async fn pull(&self, reference: &str, log: &dyn LogSink) -> PortResult<()>;
    /// Makes a bridge network; one of the same name and labels counts as made.
    async fn create_network(&self, request: &NetworkRequest) -> PortResult<()>;
    /// Makes a local volume; one of the same name and labels counts as made.
    async fn create_volume(&self, request: &VolumeRequest) -> PortResult<()>;
    /// Removes it, by force where it runs; gone already is success. Images that somebody uses stay: also success.
    async fn remove(&self, resource: &Resource) -> PortResult<()>;
    /// Log lines of a container into `log`, each begun by its time.
    async fn logs(&self, container: &str, range: LogRange, log: &dyn LogSink) -> PortResult<()>;
}

/// What happens on the engine outside of drey's own doing.
#[async_trait]
pub trait EngineWatch: Send + Sync {
    /// IPv4 subnets (CIDR) of all networks on the engine. Of this daemon's own too: an engine that was killed may bring back
    /// one that was removed.
    async fn subnets(&self) -> PortResult<Vec<String>>;
    /// Sends the project's name for each container of this daemon's that started, died or changed its health,
    /// until the engine's stream ends or the receiver is gone. Lines may be lost: look again from time to time.
    async fn drifts(&self, project_prefix: &str, told: mpsc::Sender<ProjectName>) -> PortResult<()>;
    /// Everything of this daemon's at once, and cheaply: three questions, however much there is.
    async fn glance(&self) -> PortResult<Glance>;
    /// Containers, networks and volumes of the whole engine that say that a drey made them, this one or another.
    async fn claims(&self) -> PortResult<Vec<Claim>>;
}

/// Which lines of a container's log are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRange {
    /// So many, the newest there are.
    Last(usize),
    /// All that are there now.
    All,
    /// All that are there, and those to come until the container stops. Dropping the future ends it earlier.
    UntilItStops,
}

/// Labels that drey writes on what it makes.
pub type ResourceLabels = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRequest {
    pub name: String,
    pub subnet: String,
    pub internal: bool,
    pub mtu: Option<u16>,
    pub labels: ResourceLabels,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRequest {
    pub name: String,
    pub driver_opts: BTreeMap<String, String>,
    pub labels: ResourceLabels,
}

/// Something to remove, by its engine id or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    Container(String),
    Network(String),
    Volume(String),
    Image(String),
}
