//! Builds with the engine's own builder, by the buildx plugin.

mod arguments;
mod output;
mod sources;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::credentials::{CredentialsFolder, RegistryCredential};
use super::{DockerEngine, find_plugin, plugin_folders};
use crate::adapters::process::{Ahead, Command, GARBAGE_COLLECTION, Started};
use crate::domain::duration::spoken;
use crate::domain::images::Interim;
use crate::ports::{BuildRequest, Builder, Expectation, LogSink, PortError, PortResult, meters};
use arguments::{Dockerfile, arguments};
use output::Follower;

/// The plugin's name in the folders of the docker command.
const PLUGIN: &str = "docker-buildx";
/// More than any build may take; the request has the limit that counts.
const NEVER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many contexts are remembered with how they were built.
const REMEMBERED: usize = 256;
/// The builder's own folder inside the work folder. It names this client: with another name each time, the engine would
/// ask for the whole context at every build instead of what changed.
const STATE: &str = "state";

/// What the builder needs to know.
#[derive(Clone, Debug)]
pub struct BuildxSettings {
    /// The engine, as `DockerSettings::host`.
    pub engine_host: String,
    /// Home of the daemon's user: a plugin may be installed there.
    pub home: Option<PathBuf>,
    /// For base images.
    pub registries: Vec<RegistryCredential>,
    /// A folder of the builder's own: credentials and inline Dockerfiles lie there while a build runs.
    pub work_folder: PathBuf,
}

/// `docker buildx build`, run as the plugin binary itself. It reads the Dockerfile from its standard input, so that it can be
/// started before the context is there: whoever pushes twice mostly builds the same again.
pub struct BuildxBuilder {
    settings: BuildxSettings,
    engine: Arc<DockerEngine>,
    /// Counts runs, for the names of their folders.
    runs: AtomicU64,
    /// Builds that run now.
    running: AtomicUsize,
    /// What was built last, the newest first.
    last: Mutex<VecDeque<Built>>,
    waiting: Ahead<Order, Waiting>,
}

/// A builder that runs, and the folder it lives in.
struct Waiting {
    started: Started,
    folder: CredentialsFolder,
}

/// How something was built.
#[derive(Clone)]
struct Built {
    context: PathBuf,
    service: String,
    /// But for the interim name.
    order: Order,
}

/// What is said to the builder at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    arguments: Vec<OsString>,
    /// What it may fetch, as JSON.
    policy: String,
}

impl Order {
    fn of(request: &BuildRequest, dockerfile: &Dockerfile) -> Self {
        Self { arguments: arguments(request, dockerfile), policy: sources::policy(request) }
    }

    /// Of one run.
    fn named(&self, tag: &str) -> Self {
        let tag = OsString::from(format!("--tag={tag}"));
        let (first, rest) = self.arguments.split_at(self.arguments.len().min(1));
        Self { arguments: [first, &[tag], rest].concat(), ..self.clone() }
    }
}

impl BuildxBuilder {
    /// Removes what builds of an earlier daemon left in the work folder: credentials above all.
    pub fn new(settings: BuildxSettings, engine: Arc<DockerEngine>) -> Self {
        if let Err(error) = remove_old_runs(&settings.work_folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %settings.work_folder.display(), %error, "old build folders could not be removed");
        }
        Self {
            settings,
            engine,
            runs: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            last: Mutex::default(),
            waiting: Ahead::default(),
        }
    }

    /// The version line; an error when the plugin is missing.
    pub async fn version(&self) -> PortResult<String> {
        let folder = self.folder(&[])?;
        let output = self.command(folder.path())?.arg("version").run().await?;
        Ok(output.text().trim().to_owned())
    }

    /// A folder for one run, with the credentials that it may use.
    fn folder(&self, registries: &[RegistryCredential]) -> PortResult<CredentialsFolder> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        CredentialsFolder::create(self.settings.work_folder.join(number.to_string()), registries)
    }

    /// The plugin with all it gets to see of its environment. No HOME: it needs none.
    fn command(&self, folder: &Path) -> PortResult<Command> {
        let mut command = Command::new(self.binary()?)
            .env("DOCKER_HOST", &self.settings.engine_host)
            .env("DOCKER_CONFIG", folder)
            .env("BUILDX_CONFIG", self.settings.work_folder.join(STATE))
            .env("BUILDX_GIT_INFO", "false")
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .env("GOGC", GARBAGE_COLLECTION)
            .current_dir(folder);
        for registry in &self.settings.registries {
            command = command.secret(&registry.password);
        }
        Ok(command)
    }

    fn start(&self, order: &Order) -> PortResult<Waiting> {
        let folder = self.folder(&self.settings.registries)?;
        let policy = folder.path().join("sources.json");
        std::fs::write(&policy, &order.policy).map_err(|error| {
            PortError::outside("the build", format!("cannot write {}: {error}", policy.display()))
        })?;
        let mut command = self.command(folder.path())?.env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", policy);
        // Builders that the operator made are known by his own client's folder.
        if !order.arguments.contains(&OsString::from("--builder=default"))
            && let Some(home) = &self.settings.home
        {
            command = command.env("BUILDX_CONFIG", home.join(".docker/buildx"));
        }
        let command = command.args(&order.arguments);
        // The command's own limit would be taken for a slow machine and tried again.
        Ok(Waiting { started: command.time_limit(NEVER).start()?, folder })
    }

    fn binary(&self) -> PortResult<PathBuf> {
        find_plugin(PLUGIN, self.settings.home.as_deref()).ok_or_else(|| {
            PortError::Permanent(format!(
                "there is no build plugin ({PLUGIN}) in {}; install docker buildx",
                plugin_folders()
            ))
        })
    }

    fn remember(&self, request: &BuildRequest, order: Order) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|built| built.context != request.context);
        let (context, service) = (request.context.clone(), request.service.clone());
        last.push_front(Built { context, service, order });
        last.truncate(REMEMBERED);
    }

    /// The image gets its name last: one that was not made to its end never has it.
    async fn run(&self, request: &BuildRequest, log: &dyn LogSink) -> PortResult<()> {
        let dockerfile = Dockerfile::of(request)?;
        let order = Order::of(request, &dockerfile);
        let named = order.named(&request.interim);
        let text = match dockerfile {
            Dockerfile::Text(text) => text,
            Dockerfile::File(_) => Vec::new(),
        };
        let ahead = self.waiting.take(&named);
        let was_ahead = ahead.is_some();
        let waiting = ahead.map_or_else(|| self.start(&named), Ok)?;
        let follower = Follower::new(&request.service, log, was_ahead);
        let mut built = follow(request, text.clone(), waiting, &follower).await?;
        let follower = if !built && follower.came_too_early() {
            let follower = Follower::new(&request.service, log, false);
            built = follow(request, text, self.start(&named)?, &follower).await?;
            follower
        } else {
            follower
        };
        if !built {
            return Err(follower.failure());
        }
        self.remember(request, order);
        self.engine.rename_image(&request.interim, &request.tag).await
    }
}

/// Whether it came to a good end.
async fn follow(
    request: &BuildRequest,
    text: Vec<u8>,
    Waiting { started, folder }: Waiting,
    follower: &Follower<'_>,
) -> PortResult<bool> {
    let built = tokio::time::timeout(request.time_limit, started.stream(text, "build", follower)).await;
    drop(folder);
    match built {
        Ok(output) => Ok(output?.succeeded()),
        Err(_elapsed) => Err(PortError::Permanent(format!(
            "build of {} did not end within {} and was stopped ([limits] build_time)",
            request.service,
            spoken(request.time_limit)
        ))),
    }
}

#[async_trait]
impl Builder for BuildxBuilder {
    fn expect_build(&self, folder: &Path, interim: &Interim) -> Expectation {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = last.iter().find(|built| built.context.starts_with(folder)).cloned();
        drop(last);
        let Some(built) = newest else { return Expectation::none() };
        let order = built.order.named(&interim.tag(&built.service));
        // What is wrong with the tool will be told by the build itself.
        self.start(&order).map_or_else(|_| Expectation::none(), |waiting| self.waiting.put(order, waiting))
    }

    async fn build(&self, request: &BuildRequest, log: &dyn LogSink) -> PortResult<()> {
        let _running = Running::begin(self);
        meters::engine("build", self.run(request, log).await)
    }
}

/// Everything in the work folder but the builder's own state.
fn remove_old_runs(work_folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(work_folder)? {
        let entry = entry?;
        if entry.file_name() != STATE {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Counts a build. The plugin notes each build in its state and never forgets one: the last that runs clears the notes.
struct Running<'a>(&'a BuildxBuilder);

impl<'a> Running<'a> {
    fn begin(builder: &'a BuildxBuilder) -> Self {
        builder.running.fetch_add(1, Ordering::SeqCst);
        Self(builder)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Notes that stay for now are cleared after the next build.
            std::fs::remove_dir_all(self.0.settings.work_folder.join(STATE).join("refs")).ok();
        }
    }
}
