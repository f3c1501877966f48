//! Compose and the builder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{LogSink, PortResult};
use crate::domain::images::Interim;
use crate::domain::names::ProjectName;
use crate::domain::policy::{CheckoutFacts, Finding, Sources};
use crate::domain::stack::Stack;

/// `docker compose`, the reference tool.
#[async_trait]
pub trait Stacks: Send + Sync {
    /// Names of the services that the raw files declare, before anything is resolved; for variables that name them.
    fn services(&self, checkout: &Path, files: &[PathBuf]) -> PortResult<Vec<String>>;
    /// Scans the raw files, then resolves them in the jail into the canonical document.
    /// Permanent errors name the file and the key.
    async fn render(&self, request: &RenderRequest) -> PortResult<Rendered>;
    /// An `up` of this project will be asked for soon: what can be done ahead for it is done. Never fails; changes
    /// nothing that can be seen.
    fn expect_up(&self, _project: &ProjectName, _directory: &Path) -> Expectation {
        Expectation::none()
    }
    /// `up -d` of exactly this document; progress goes to the log. Never builds, never pulls.
    /// Dropping the future ends the tool and its children.
    async fn up(&self, request: &UpRequest, log: &dyn LogSink) -> PortResult<()>;
    /// Stops all containers of the project, in dependency order as compose knows it; needs no file.
    async fn stop(&self, project: &ProjectName, timeout_seconds: u32, log: &dyn LogSink) -> PortResult<()>;
    /// The overlay for this stack, from `overlay.yaml.tera`: a compose fragment.
    fn overlay(&self, values: &Value) -> PortResult<Value>;
    /// Writes a starter stack's compose file into a checkout that has none; the files to use.
    fn starter(&self, name: &str, checkout: &Path) -> PortResult<Vec<PathBuf>>;
}

/// What was begun ahead of its need. Dropping it ends what was not needed.
#[must_use]
pub struct Expectation(#[expect(dead_code, reason = "kept for its end alone")] Option<Box<dyn Send + Sync>>);

impl Expectation {
    /// Nothing was begun.
    pub fn none() -> Self {
        Self(None)
    }

    pub fn of(begun: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(begun)))
    }
}

/// What is to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderRequest {
    pub checkout: PathBuf,
    pub project: ProjectName,
    /// Compose files relative to the checkout; empty: as Compose finds them.
    pub files: Vec<PathBuf>,
    /// Values for `${…}`, over the checkout's `.env`: the repository's, then drey's own.
    pub variables: BTreeMap<String, String>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Canonical compose document, with the services of all profiles. Paths are absolute, below the checkout.
    pub document: Value,
    /// The compose files that were used, relative to the checkout, in order.
    pub files: Vec<PathBuf>,
    /// What lies at the paths that the document names.
    pub facts: CheckoutFacts,
    /// What the raw scan has noticed and dropped.
    pub remarks: Vec<Finding>,
    /// Which of the files says which key.
    pub sources: Sources,
}

/// What is to run.
#[derive(Clone, Debug)]
pub struct UpRequest {
    pub project: ProjectName,
    /// The environment's own folder; the document is written there.
    pub directory: PathBuf,
    pub stack: Stack,
    /// Recreate containers even when nothing about them changed.
    pub recreate: bool,
}

/// The engine's builder.
#[async_trait]
pub trait Builder: Send + Sync {
    /// A build of something below this folder will be asked for soon, under such an interim name: what can be done ahead for
    /// it is done. Never fails.
    fn expect_build(&self, _folder: &Path, _interim: &Interim) -> Expectation {
        Expectation::none()
    }
    /// Builds and tags. Dropping the future ends the build.
    async fn build(&self, request: &BuildRequest, log: &dyn LogSink) -> PortResult<()>;
}

/// One image to build. Paths are absolute, below the checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRequest {
    pub service: String,
    /// The image's name, which it gets when it is whole.
    pub tag: String,
    /// Its name until then.
    pub interim: String,
    pub context: PathBuf,
    /// Relative to the context, as in the compose file.
    pub dockerfile: Option<String>,
    pub dockerfile_inline: Option<String>,
    pub target: Option<String>,
    pub platform: Option<String>,
    pub args: BTreeMap<String, String>,
    /// Name → absolute path or `docker-image://…`.
    pub additional_contexts: BTreeMap<String, String>,
    /// The build's steps reach no network.
    pub network_none: bool,
    /// `NAME=ADDRESS`, as in the canonical document.
    pub extra_hosts: Vec<String>,
    /// Id → file.
    pub secrets: BTreeMap<String, PathBuf>,
    pub labels: BTreeMap<String, String>,
    pub pull: bool,
    pub no_cache: bool,
    /// The builder itself may fetch addresses that the Dockerfile names.
    pub remote: bool,
    /// A builder that the operator made; none: the engine's own.
    pub builder: Option<String>,
    /// Where the engine's own builder puts what the build runs among the machine's control groups.
    pub cgroup_parent: Option<String>,
    /// What still builds after this is ended, for good.
    pub time_limit: Duration,
}
