//! Containers that drey did not start.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::PortResult;
use crate::domain::outsiders::Outsider;

/// What else runs on the engine.
#[async_trait]
pub trait Outsiders: Send + Sync {
    /// Every running container that no drey made.
    async fn outsiders(&self) -> PortResult<Vec<Outsider>>;
    /// Says each time that one of them, or a network, may have changed, until the engine's stream ends or the receiver is
    /// gone. Words may be lost: look again from time to time.
    async fn stirs(&self, told: mpsc::Sender<()>) -> PortResult<()>;
}
