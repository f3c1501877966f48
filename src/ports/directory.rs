//! What the service directory asks the engine.

use async_trait::async_trait;

use super::PortResult;
use crate::domain::directory::Listed;
use crate::domain::names::ProjectName;

/// Containers as others on the host find them.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// All of one project, by name; stopped ones too.
    async fn listed(&self, project: &ProjectName) -> PortResult<Vec<Listed>>;
}
