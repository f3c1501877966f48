//! What happens to our containers and networks, as the engine tells it.

use std::collections::HashMap;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt as _, future};

use super::observe::{PROJECT_LABEL, SERVICE_LABEL};
use super::{DockerEngine, error};
use crate::domain::names::ProjectName;
use crate::ports::PortResult;

/// What is listened for; everything else (execs above all) stays with the engine.
const ACTIONS: [&str; 8] =
    ["start", "die", "health_status", "destroy", "connect", "disconnect", "pause", "unpause"];

/// Something happened to a project of ours. A hint to look, never a fact to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    pub project: ProjectName,
    /// `None` for what happens to a network or volume.
    pub service: Option<String>,
    /// The engine's word: `start`, `die`, `destroy`, `health_status: healthy`, `connect`, `pause` and so on.
    pub action: String,
}

impl DockerEngine {
    /// Events of all projects whose name begins with `project_prefix`, from now on. The stream ends, or yields an
    /// error and ends, when the connection does: whoever listens connects again and looks at everything once.
    pub fn events(
        &self,
        project_prefix: &str,
    ) -> PortResult<impl Stream<Item = PortResult<EngineEvent>> + Send + Unpin + use<>> {
        let filters = HashMap::from([
            ("type", ["container", "network", "volume"].map(str::to_owned).to_vec()),
            ("event", ACTIONS.map(str::to_owned).to_vec()),
        ]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let messages = self.client()?.events(Some(options));
        let prefix = project_prefix.to_owned();
        let stream = messages.filter_map(move |message| {
            let event = match message {
                Ok(message) => event_of(message, &prefix).map(Ok),
                Err(failure) => Some(Err(error::map("events of the engine", failure))),
            };
            future::ready(event)
        });
        Ok(Box::pin(stream))
    }
}

fn event_of(message: EventMessage, prefix: &str) -> Option<EngineEvent> {
    let action = message.action?;
    let actor = message.actor?;
    let mut attributes = actor.attributes.unwrap_or_default();
    let (project, service) = match message.typ? {
        EventMessageTypeEnum::CONTAINER => {
            (attributes.remove(PROJECT_LABEL)?, attributes.remove(SERVICE_LABEL))
        }
        // Network events have no labels; `_` separates project and key, and no project name has one.
        EventMessageTypeEnum::NETWORK => (attributes.get("name")?.split_once('_')?.0.to_owned(), None),
        // The same separator; the name is the id.
        EventMessageTypeEnum::VOLUME => (actor.id?.split_once('_')?.0.to_owned(), None),
        EventMessageTypeEnum::EMPTY
        | EventMessageTypeEnum::BUILDER
        | EventMessageTypeEnum::CONFIG
        | EventMessageTypeEnum::DAEMON
        | EventMessageTypeEnum::IMAGE
        | EventMessageTypeEnum::NODE
        | EventMessageTypeEnum::PLUGIN
        | EventMessageTypeEnum::SECRET
        | EventMessageTypeEnum::SERVICE => return None,
    };
    if !project.starts_with(prefix) {
        return None;
    }
    Some(EngineEvent { project: ProjectName::from_stored(project), service, action })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(value: serde_json::Value) -> Option<EngineEvent> {
        event_of(serde_json::from_value(value).unwrap(), "drey-abc123-")
    }

    #[test]
    fn containers_tell_project_and_service() {
        let message = |project: &str| {
            json!({ "Type": "container", "Action": "health_status: healthy", "Actor": { "ID": "ff", "Attributes": {
                "com.docker.compose.project": project, "com.docker.compose.service": "web", "image": "x" } } })
        };
        let event = parsed(message("drey-abc123-4-x")).unwrap();
        assert_eq!(event.project.as_str(), "drey-abc123-4-x");
        assert_eq!(event.service.as_deref(), Some("web"));
        assert_eq!(event.action, "health_status: healthy");
        assert_eq!(parsed(message("drey-zzz999-4-x")), None);
    }

    #[test]
    fn networks_tell_the_project_by_their_name() {
        let message = |name: &str| {
            json!({ "Type": "network", "Action": "disconnect", "Actor": { "ID": "ff", "Attributes": {
                "container": "ee", "name": name, "type": "bridge" } } })
        };
        let event = parsed(message("drey-abc123-4-x_back_end")).unwrap();
        assert_eq!((event.project.as_str(), event.service), ("drey-abc123-4-x", None));
        assert_eq!(parsed(message("bridge")), None);
    }

    #[test]
    fn volumes_tell_the_project_by_their_name() {
        let message = |name: &str| json!({ "Type": "volume", "Action": "destroy", "Actor": { "ID": name } });
        let event = parsed(message("drey-abc123-4-x_data")).unwrap();
        assert_eq!((event.project.as_str(), event.action.as_str()), ("drey-abc123-4-x", "destroy"));
        assert_eq!(parsed(message("somebodys")), None);
    }
}
