//! What happens on the engine outside of drey's own doing.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::DockerEngine;
use crate::domain::names::{InstanceId, ProjectName};
use crate::ports::{EngineWatch, PortResult, meters};

/// Events and foreign networks, as one daemon sees them.
#[derive(Debug)]
pub struct DockerWatch {
    engine: Arc<DockerEngine>,
    instance: InstanceId,
}

impl DockerWatch {
    pub fn new(engine: Arc<DockerEngine>, instance: InstanceId) -> Self {
        Self { engine, instance }
    }
}

#[async_trait]
impl EngineWatch for DockerWatch {
    async fn foreign_subnets(&self) -> PortResult<Vec<String>> {
        meters::engine("foreign_subnets", self.engine.host_subnets(&self.instance).await)
    }

    async fn drifts(&self, project_prefix: &str, told: mpsc::Sender<ProjectName>) -> PortResult<()> {
        let mut events = self.engine.events(project_prefix)?;
        while let Some(event) = events.next().await {
            if told.send(meters::engine("events", event)?.project).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}
