//! Containers that are there: started, frozen, and let go on.

use async_trait::async_trait;

use super::PortResult;

/// What the engine does with containers as they are. Each may be asked for twice.
#[async_trait]
pub trait Power: Send + Sync {
    /// Starts it; one that runs is started.
    async fn start(&self, container: &str) -> PortResult<()>;
    /// Freezes it; one that is frozen, or does not run any more, is left as it is.
    async fn pause(&self, container: &str) -> PortResult<()>;
    /// Lets it go on; one that is not frozen does so already.
    async fn unpause(&self, container: &str) -> PortResult<()>;
}
