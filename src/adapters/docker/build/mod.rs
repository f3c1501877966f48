//! Builds with the engine's own builder, by the buildx plugin.

mod definition;
mod output;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::credentials::{CredentialsFolder, RegistryCredential};
use super::{find_plugin, plugin_folders};
use crate::adapters::process::{Ahead, Command, GARBAGE_COLLECTION, Started};
use crate::ports::{BuildRequest, Builder, Expectation, LogSink, PortError, PortResult, meters};
use output::Follower;

/// The plugin's name in the folders of the docker command.
const PLUGIN: &str = "docker-buildx";
/// Longest build; more is a build that hangs.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
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

/// `docker buildx bake`, run as the plugin binary itself: it reads what to build from its standard input, so it can be
/// started before that is known.
pub struct BuildxBuilder {
    settings: BuildxSettings,
    /// Counts runs, for the names of their folders.
    runs: AtomicU64,
    /// Builds that run now.
    running: AtomicUsize,
    waiting: Ahead<(), Waiting>,
}

/// A builder that waits for its document, and the folder it lives in.
struct Waiting {
    started: Started,
    folder: CredentialsFolder,
}

impl BuildxBuilder {
    /// Removes what builds of an earlier daemon left in the work folder: credentials above all.
    pub fn new(settings: BuildxSettings) -> Self {
        if let Err(error) = remove_old_runs(&settings.work_folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %settings.work_folder.display(), %error, "old build folders could not be removed");
        }
        Self { settings, runs: AtomicU64::new(0), running: AtomicUsize::new(0), waiting: Ahead::default() }
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
            // The document is ours, and what it names was checked.
            .env("BUILDX_BAKE_ENTITLEMENTS_FS", "0")
            .env("GOGC", GARBAGE_COLLECTION)
            .current_dir(folder);
        for registry in &self.settings.registries {
            command = command.secret(&registry.password);
        }
        Ok(command)
    }

    fn start(&self) -> PortResult<Waiting> {
        let folder = self.folder(&self.settings.registries)?;
        let arguments = ["bake", "--builder=default", "--progress=plain", "--file", "-"];
        // The command's own limit would be taken for a slow machine and tried again.
        let command = self.command(folder.path())?.args(arguments).time_limit(BUILD_LIMIT * 2);
        Ok(Waiting { started: command.start()?, folder })
    }

    fn binary(&self) -> PortResult<PathBuf> {
        find_plugin(PLUGIN, self.settings.home.as_deref()).ok_or_else(|| {
            PortError::Permanent(format!(
                "there is no build plugin ({PLUGIN}) in {}; install docker buildx",
                plugin_folders()
            ))
        })
    }
}

#[async_trait]
impl Builder for BuildxBuilder {
    fn expect_build(&self) -> Expectation {
        // What is wrong with the tool will be told by the build itself.
        self.start().map_or_else(|_| Expectation::none(), |waiting| self.waiting.put((), waiting))
    }

    async fn build(&self, request: &BuildRequest, log: &dyn LogSink) -> PortResult<()> {
        let Waiting { started, folder } = self.waiting.take(&()).map_or_else(|| self.start(), Ok)?;
        let _running = Running::begin(self);
        let dockerfile = definition::dockerfile(request, folder.path())?;
        let document = definition::definition(request, &dockerfile).to_string().into_bytes();
        let follower = Follower::new(&request.service, log);
        let built =
            match tokio::time::timeout(BUILD_LIMIT, started.stream(document, "build", &follower)).await {
                Ok(Ok(output)) if output.succeeded() => Ok(()),
                Ok(Ok(_)) => Err(follower.failure()),
                Ok(Err(error)) => Err(error),
                Err(_elapsed) => Err(PortError::Permanent(format!(
                    "build of {} did not end within {} minutes and was stopped",
                    request.service,
                    BUILD_LIMIT.as_secs() / 60
                ))),
            };
        meters::engine("build", built)
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
