//! Containers of a project for the service directory.

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use bollard::query_parameters::InspectContainerOptions;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::observe::{INSPECTS_AT_ONCE, container, owned_ids};
use super::{DockerEngine, EngineError, OBSERVE_LIMIT, error, limited};
use crate::domain::directory::{Listed, Port};
use crate::domain::names::ProjectName;
use crate::domain::time::Timestamp;
use crate::ports::{Catalogue, PortResult, meters};

/// Labels that the directory reads.
const LABELS: &str = "drey.metrics.";

#[async_trait]
impl Catalogue for DockerEngine {
    async fn listed(&self, project: &ProjectName) -> PortResult<Vec<Listed>> {
        let client = self.client()?;
        let question = async {
            list(&client, project).await.map_err(|error| error::map(&format!("project {project}"), error))
        };
        let answer = limited("services on the engine", OBSERVE_LIMIT, question).await;
        meters::engine("catalogue", self.named(answer))
    }
}

async fn list(client: &Docker, project: &ProjectName) -> Result<Vec<Listed>, EngineError> {
    let ids = owned_ids(client, project).await?;
    let mut all: Vec<Listed> = stream::iter(ids)
        .map(|id| inspect(client, id))
        .buffer_unordered(INSPECTS_AT_ONCE)
        .try_filter_map(async |listed| Ok(listed))
        .try_collect()
        .await?;
    all.sort_by(|one, other| one.container.name.cmp(&other.container.name));
    Ok(all)
}

/// `None` when it went between the list and the question.
async fn inspect(client: &Docker, id: String) -> Result<Option<Listed>, EngineError> {
    match client.inspect_container(&id, None::<InspectContainerOptions>).await {
        Ok(inspected) => Ok(Some(listed(id, inspected))),
        Err(error) if error::code(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

fn listed(id: String, inspected: ContainerInspectResponse) -> Listed {
    let config = inspected.config.as_ref();
    let labels = config.and_then(|config| config.labels.as_ref()).into_iter().flatten();
    let labels = labels.filter(|(name, _)| name.starts_with(LABELS));
    let labels = labels.map(|(name, value)| (name.clone(), value.clone())).collect();
    let exposed = config.and_then(|config| config.exposed_ports.as_ref()).into_iter().flatten();
    let mut ports: Vec<Port> = exposed.filter_map(|port| Port::parse(port)).collect();
    ports.sort();
    let since = since(&inspected);
    Listed { container: container(id, inspected), ports, since, labels }
}

/// When the state that it is in began.
fn since(inspected: &ContainerInspectResponse) -> Option<Timestamp> {
    let state = inspected.state.as_ref()?;
    let began = match state.status? {
        ContainerStateStatusEnum::RUNNING
        | ContainerStateStatusEnum::STOPPING
        | ContainerStateStatusEnum::PAUSED => state.started_at.as_deref(),
        ContainerStateStatusEnum::EXITED
        | ContainerStateStatusEnum::DEAD
        | ContainerStateStatusEnum::REMOVING
        | ContainerStateStatusEnum::RESTARTING => state.finished_at.as_deref(),
        ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY => None,
    };
    Timestamp::parse(began?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_inspect_answer_becomes_an_entry() {
        let answer = |status: &str| {
            json!({
                "Id": "ff", "Name": "/drey-abc123-4-x-web-1",
                "State": { "Status": status, "StartedAt": "2026-01-02T03:04:05.123456789Z",
                    "FinishedAt": "2026-01-02T04:00:00Z" },
                "Config": {
                    "Image": "app:1", "ExposedPorts": { "8080/tcp": {}, "53/udp": {}, "80/tcp": {} },
                    "Labels": { "com.docker.compose.service": "web", "drey.metrics.port": "9100", "drey.repo": "x" }
                }
            })
        };
        let read = |status| listed("ff".to_owned(), serde_json::from_value(answer(status)).unwrap());
        let running = read("running");
        assert_eq!(running.container.service, "web");
        assert_eq!(running.labels.keys().collect::<Vec<_>>(), ["drey.metrics.port"]);
        assert_eq!(running.ports.iter().map(|it| it.port).collect::<Vec<_>>(), [53, 80, 8080]);
        assert_eq!(running.since, Timestamp::parse("2026-01-02T03:04:05.123Z"));
        assert_eq!(read("exited").since, Timestamp::parse("2026-01-02T04:00:00Z"));
        assert_eq!(read("created").since, None);
    }
}
