//! A container that somebody else starts and ends, and that drey works with: the team's own proxy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;

use super::PortResult;
use crate::domain::joining::OwnNetwork;

/// The engine, as far as such a container is concerned. Nothing here starts or ends one.
#[async_trait]
pub trait Foreign: Send + Sync {
    /// How it stands; `None` when there is none of this name.
    async fn container(&self, name: &str) -> PortResult<Option<ForeignContainer>>;
    /// Runs a command in it to its end: exit code, and both outputs.
    async fn execute(&self, name: &str, command: Vec<String>) -> PortResult<(i64, String)>;
    /// Sends its first process a signal, for instance `SIGHUP`.
    async fn signal(&self, name: &str, signal: &str) -> PortResult<()>;
    /// Networks that this drey made.
    async fn own_networks(&self) -> PortResult<Vec<OwnNetwork>>;
    /// Services of compose with a container on the network: names that are known there.
    async fn services_on(&self, network: &str) -> PortResult<Vec<String>>;
    /// Puts it on the network, never as its way out; already there is success.
    async fn connect(&self, network: &str, name: &str) -> PortResult<()>;
    /// Takes it off the network; not there, or no such network, is success.
    async fn disconnect(&self, network: &str, name: &str) -> PortResult<()>;
}

/// One, as the engine tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignContainer {
    pub id: String,
    /// Why nothing can be asked of it now; none: it runs.
    pub rested: Option<Rested>,
    /// The host's number of its first process.
    pub first_process: Option<u32>,
    pub is_on_host: bool,
    pub mounts: Vec<Mount>,
    /// `net.*` that it was started with.
    pub sysctls: BTreeMap<String, String>,
    /// Name → the network.
    pub networks: BTreeMap<String, Endpoint>,
}

/// Its place on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub network: String,
    pub address: Option<IpAddr>,
    /// This machine's address there.
    pub gateway: Option<IpAddr>,
}

/// A folder of this machine in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub source: PathBuf,
    pub destination: PathBuf,
    pub is_writable: bool,
}

/// Why a container does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rested {
    Paused,
    /// It ends again and again, and is started again.
    Restarting,
    /// It has ended, or never began; with its exit code.
    Stopped(i64),
}
