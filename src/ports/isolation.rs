//! What the machine puts around an environment, besides what the engine does.

use async_trait::async_trait;

use super::PortResult;
use crate::domain::names::EnvironmentId;
use crate::domain::walls::Walls;

/// The machine's packet filter.
#[async_trait]
pub trait Firewall: Send + Sync {
    /// Puts exactly these walls up, at once and in place of what this daemon put up before; none at all where there is
    /// no subnet to wall in. A permanent error says what the machine lacks.
    async fn apply(&self, walls: &Walls) -> PortResult<()>;
}

/// The group of builds, as the builder is told; `None` where this engine takes none.
pub struct BuildGroup {
    pub parent: Option<String>,
    /// Kept for its end alone.
    pub held: Option<Box<dyn Send + Sync>>,
}

/// The machine's control groups: one for each environment, so that all its containers share one part of the machine.
#[async_trait]
pub trait Cgroups: Send + Sync {
    /// What the engine is told as parent of an environment's containers; `None` where this engine takes none.
    /// The same for the environment's life.
    async fn parent(&self, id: EnvironmentId) -> PortResult<Option<String>>;
    /// A group for builds, which share so many bytes of memory; it is there as long as somebody holds it.
    async fn builds(&self, memory: u64) -> PortResult<BuildGroup>;
    /// Removes the environment's group, which the engine leaves behind; gone already is success.
    async fn remove(&self, id: EnvironmentId) -> PortResult<()>;
}
