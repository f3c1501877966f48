//! Docker Engine through bollard, and its builder.
//!
//! Owns every conversation with the engine but those of compose. Knows nothing of environments: it is told names,
//! labels and projects. Every call has a time limit, and every removal may run twice.

mod build;
mod catalogue;
mod confinement;
mod credentials;
mod error;
mod events;
mod everything;
mod foreign;
mod image_files;
mod images;
mod jobs;
mod lines;
mod logs;
mod networks;
mod observe;
mod outsiders;
mod plugin;
mod power;
mod reach;
mod resources;
mod stock;
mod swarm;
mod volumes;
mod watch;
mod written;

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error as EngineError;

pub use build::{BuildxBuilder, BuildxSettings};
pub use credentials::{CredentialsFolder, RegistryCredential};
pub use events::EngineEvent;
pub use foreign::DockerForeign;
pub use plugin::{find_plugin, plugin_folders};
pub use reach::{Bridge, Reach};
pub use stock::{CgroupDriver, EngineFacts};
pub use volumes::DockerVolumes;
pub use watch::DockerWatch;

use crate::domain::names::ProjectName;
use crate::domain::observed::{ImageFacts, Observed};
use crate::ports::{
    Engine, LogRange, LogSink, NetworkRequest, PortError, PortResult, Resource, VolumeRequest, meters,
};

/// One question to the engine: it answers from memory, slow only when the machine is.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// One look at a whole project, many questions at once.
const OBSERVE_LIMIT: Duration = Duration::from_secs(45);
/// Removing what runs or is large.
const REMOVE_LIMIT: Duration = Duration::from_secs(120);
/// All log lines of a container, for an archive.
const LOGS_LIMIT: Duration = Duration::from_secs(300);
/// Log lines until a container stops; whoever follows gives up earlier.
const FOLLOW_LIMIT: Duration = Duration::from_secs(60 * 60);
/// A whole image over a slow line.
const PULL_LIMIT: Duration = Duration::from_secs(30 * 60);

/// How to reach the engine and the registries.
#[derive(Clone, Debug)]
pub struct DockerSettings {
    /// `unix:///var/run/docker.sock`, `tcp://host:port` or `ssh://user@host`.
    pub host: String,
    /// The way there, where it is not spoken to directly.
    pub reach: Option<Reach>,
    /// For pulls; the first whose host is the reference's is used.
    pub registries: Vec<RegistryCredential>,
}

/// The engine. Connects when first asked, so that it may be made before the engine runs.
#[derive(Debug)]
pub struct DockerEngine {
    settings: DockerSettings,
    client: OnceLock<Docker>,
}

impl DockerEngine {
    pub fn new(settings: DockerSettings) -> Self {
        Self { settings, client: OnceLock::new() }
    }

    /// The connection. bollard names no API version in its requests, so the engine speaks its own newest.
    fn client(&self) -> PortResult<Docker> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let host = &self.settings.host;
        let connected = match &self.settings.reach {
            Some(reach) => reach::connect(reach, CALL_LIMIT.as_secs()),
            None => Docker::connect_with_host(host),
        };
        let client = connected
            .map_err(|error| error::map(&format!("engine at {host}"), error))?
            .with_timeout(CALL_LIMIT)
            .with_request_modifier(credentials::mend_header);
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// Says which engine it is that does not answer.
    fn name_absence(&self, error: PortError) -> PortError {
        if let PortError::Transient(text) = &error
            && let Some(rest) = text.strip_prefix(error::AWAY)
        {
            return PortError::Transient(format!(
                "the engine at {} does not answer{rest}",
                self.settings.host
            ));
        }
        error
    }

    fn named<T>(&self, result: PortResult<T>) -> PortResult<T> {
        result.map_err(|error| self.name_absence(error))
    }
}

impl DockerEngine {
    /// Gives an image that was just built its proper name.
    ///
    /// # Errors
    /// As every call of the engine; transient where the image is gone already.
    async fn rename_image(&self, from: &str, to: &str) -> PortResult<()> {
        self.named(images::rename(&self.client()?, from, to).await)
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn ping(&self) -> PortResult<String> {
        let client = self.client()?;
        let version = call("version", CALL_LIMIT, client.version()).await;
        let version = meters::engine("ping", self.named(version))?;
        let known = |part: Option<String>| part.unwrap_or_else(|| "?".to_owned());
        Ok(format!(
            "engine {} (API {}, {}/{})",
            known(version.version),
            known(version.api_version),
            known(version.os),
            known(version.arch)
        ))
    }

    async fn observe(&self, project: &ProjectName) -> PortResult<Observed> {
        let client = self.client()?;
        let observed = limited("look at the engine", OBSERVE_LIMIT, observe::observe(&client, project)).await;
        meters::engine("observe", self.named(observed))
    }

    async fn image(&self, reference: &str) -> PortResult<Option<ImageFacts>> {
        meters::engine("image", self.named(images::facts(&self.client()?, reference).await))
    }

    async fn pull(&self, reference: &str, log: &dyn LogSink) -> PortResult<()> {
        let client = self.client()?;
        let pull = images::pull(&client, &self.settings.registries, reference, log);
        meters::engine("pull", self.named(limited(&format!("pull of {reference}"), PULL_LIMIT, pull).await))
    }

    async fn create_network(&self, request: &NetworkRequest) -> PortResult<()> {
        meters::engine("create_network", self.named(networks::create(&self.client()?, request).await))
    }

    async fn create_volume(&self, request: &VolumeRequest) -> PortResult<()> {
        meters::engine("create_volume", self.named(resources::create_volume(&self.client()?, request).await))
    }

    async fn remove(&self, resource: &Resource) -> PortResult<()> {
        let client = self.client()?.with_timeout(REMOVE_LIMIT);
        let removed = match resource {
            Resource::Container(id) => {
                let removal = resources::remove_container(&client, id);
                limited(&format!("removal of container {id}"), REMOVE_LIMIT, removal).await
            }
            Resource::Network(name) => {
                let removal = networks::remove(&client, name);
                limited(&format!("removal of network {name}"), REMOVE_LIMIT, removal).await
            }
            Resource::Volume(name) => resources::remove_volume(&client, name).await,
            Resource::Image(reference) => images::remove(&client, reference).await,
        };
        meters::engine("remove", self.named(removed))
    }

    async fn logs(&self, container: &str, range: LogRange, log: &dyn LogSink) -> PortResult<()> {
        let client = self.client()?;
        let limit = if range == LogRange::UntilItStops { FOLLOW_LIMIT } else { LOGS_LIMIT };
        let lines = logs::logs(&client, container, range, log);
        meters::engine("logs", self.named(limited(&format!("log of {container}"), limit, lines).await))
    }
}

/// Asks the engine one thing; `what` is the subject of the error, for instance `network x`.
fn call<'a, T: 'a>(
    what: &'a str,
    limit: Duration,
    question: impl Future<Output = Result<T, EngineError>> + Send + 'a,
) -> impl Future<Output = PortResult<T>> + Send + 'a {
    limited(what, limit, async move { question.await.map_err(|error| error::map(what, error)) })
}

/// bollard limits the time until the answer's head only; this is the limit until its end.
/// Boxed, because bollard's futures are large and lie inside many others.
fn limited<'a, T: 'a>(
    what: &'a str,
    limit: Duration,
    work: impl Future<Output = PortResult<T>> + Send + 'a,
) -> impl Future<Output = PortResult<T>> + Send + 'a {
    let work: Pin<Box<dyn Future<Output = PortResult<T>> + Send + 'a>> = Box::pin(work);
    async move {
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let seconds = limit.as_secs();
                Err(PortError::Transient(format!("{what}: the engine gave no answer within {seconds} s")))
            }
        }
    }
}

/// Refuses what would change the request's path: names go into it as they are.
fn checked_name<'a>(what: &str, name: &'a str) -> PortResult<&'a str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    if name.chars().all(legal) && !name.split('/').any(bad_part) {
        return Ok(name);
    }
    Err(PortError::Permanent(format!(
        "{what} {name:?} is not a name the engine can have: letters, digits, '.', '_', '-', ':', '/', '@' only"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_change_the_request() {
        for good in ["drey-ab-1-x_default", "registry.example.org:5000/a/b@sha256:00", "redis:7"] {
            assert!(checked_name("image", good).is_ok(), "{good}");
        }
        for bad in
            ["", "../containers", "a/../../b", "a?force=1", "a#b", "a b", "a%2e", "/a", "a//b", "$(rm)"]
        {
            assert!(checked_name("image", bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_transient_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let host = format!("unix://{}/engine.sock", folder.path().display());
        let engine =
            DockerEngine::new(DockerSettings { host: host.clone(), reach: None, registries: Vec::new() });
        let error = engine.ping().await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains(&host), "{error}");
    }
}
