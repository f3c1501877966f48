//! What it is to bring routes into force at a proxy.

use std::time::Duration;

use async_trait::async_trait;

use super::fault::Fault;
use super::model::Frame;
use crate::domain::provider::{ProviderContainer, ProviderFile, Quarantined};
use crate::domain::route::RouteTable;

/// Brings routes into force at one proxy.
#[async_trait]
pub trait Apply: Send + Sync {
    /// Twice the same is once.
    async fn apply(&self, table: &RouteTable, frame: &Frame) -> Result<Applied, Fault>;
    /// What of it can be changed at once, ahead of all that is written; whether that was all.
    async fn adjust(&self, table: &RouteTable, frame: &Frame) -> bool;
    /// What would be written for them.
    async fn render(&self, table: &RouteTable, frame: &Frame) -> Result<Vec<ProviderFile>, Fault>;
    /// As [`super::Driver::lag`].
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
    /// As [`super::Driver::gives_way`]: then an [`Apply::apply`] that waits may be dropped.
    fn gives_way(&self) -> bool {
        false
    }
    /// As [`super::Driver::hand_out`].
    async fn hand_out(&self, _asker: &str) -> Option<String> {
        None
    }
    /// Its container, where it is in one.
    fn container(&self) -> Option<ProviderContainer> {
        None
    }
}

/// Routes that are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub mark: String,
    pub taken: Taken,
    /// Hosts that lead straight to containers.
    pub direct: usize,
    pub quarantined: Vec<Quarantined>,
    /// As [`super::Driver::assumed`].
    pub assumed: Option<&'static str>,
}

/// What the proxy did for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Nothing,
    Reload,
    Adjustment,
}

impl Taken {
    /// For the figures.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "unchanged",
            Self::Reload => "reloaded",
            Self::Adjustment => "adjusted",
        }
    }
}
