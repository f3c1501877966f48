//! What happens on the engine outside of drey's own doing.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::DockerEngine;
use crate::domain::names::{InstanceId, ProjectName};
use crate::domain::observed::Glance;
use crate::domain::orphans::Claim;
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
    async fn subnets(&self) -> PortResult<Vec<String>> {
        meters::engine("subnets", self.engine.host_subnets().await)
    }

    async fn drifts(&self, project_prefix: &str, told: mpsc::Sender<ProjectName>) -> PortResult<()> {
        let mut events = self.engine.events(project_prefix)?;
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| self.engine.name_absence(error));
            if told.send(meters::engine("events", event)?.project).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn glance(&self) -> PortResult<Glance> {
        self.engine.glance(&self.instance).await
    }

    async fn claims(&self) -> PortResult<Vec<Claim>> {
        self.engine.claims().await
    }
}
