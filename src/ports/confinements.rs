//! How containers are confined.

use async_trait::async_trait;

use super::PortResult;
use crate::domain::audit::Confinement;
use crate::domain::names::ProjectName;

/// Tells the borders of containers, as the engine has them now.
#[async_trait]
pub trait Confinements: Send + Sync {
    /// Of all containers of the project, also when stopped, sorted by name.
    async fn confinements(&self, project: &ProjectName) -> PortResult<Vec<Confinement>>;
}
