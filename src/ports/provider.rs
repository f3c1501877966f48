//! The proxy that drey drives, for those who look at it.

use async_trait::async_trait;

use super::PortResult;
use crate::domain::provider::{ProviderFile, ProviderState, ProviderStatus};

/// What is known of the proxy in front.
#[async_trait]
pub trait Provider: Send + Sync {
    /// As it stands now.
    fn status(&self) -> ProviderStatus;
    /// Waits until no request goes where the newest routes do not lead, a while at most where the proxy does not take
    /// them. What is about to end is stopped only then: its address may soon be another's.
    async fn settle(&self);
    /// What would be written for the newest routes. Certificates and keys are named by their paths only.
    async fn render(&self) -> PortResult<Vec<ProviderFile>>;
    /// The configuration in force, for a proxy that asks for it itself; none where none does, or nothing is written yet.
    async fn hand_out(&self, _asker: &str) -> Option<String> {
        None
    }
}

/// The embedded proxy: it has the routes at once, and no files.
pub struct Embedded;

#[async_trait]
impl Provider for Embedded {
    fn status(&self) -> ProviderStatus {
        let provider = "embedded".to_owned();
        ProviderStatus { provider, state: ProviderState::Serving, ..ProviderStatus::default() }
    }

    async fn settle(&self) {}

    async fn render(&self) -> PortResult<Vec<ProviderFile>> {
        Ok(Vec::new())
    }
}
