//! Builds with the engine's own builder, by the buildx plugin.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::credentials::{CredentialsFolder, RegistryCredential};
use super::{find_plugin, plugin_folders};
use crate::adapters::process::Command;
use crate::ports::{BuildRequest, Builder, LogLine, LogSink, PortError, PortResult};

/// The plugin's name in the folders of the docker command.
const PLUGIN: &str = "docker-buildx";
/// Longest build; more is a build that hangs.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Lines of output that go into the reason of a failure.
const LAST_LINES: usize = 20;
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

/// `docker buildx build`, run as the plugin binary itself.
#[derive(Debug)]
pub struct BuildxBuilder {
    settings: BuildxSettings,
    /// Counts runs, for the names of their folders.
    runs: AtomicU64,
    /// Builds that run now.
    running: AtomicUsize,
}

impl BuildxBuilder {
    /// Removes what builds of an earlier daemon left in the work folder: credentials above all.
    pub fn new(settings: BuildxSettings) -> Self {
        if let Err(error) = remove_old_runs(&settings.work_folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %settings.work_folder.display(), %error, "old build folders could not be removed");
        }
        Self { settings, runs: AtomicU64::new(0), running: AtomicUsize::new(0) }
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
            .current_dir(folder);
        for registry in &self.settings.registries {
            command = command.secret(&registry.password);
        }
        Ok(command)
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
    async fn build(&self, request: &BuildRequest, log: &dyn LogSink) -> PortResult<()> {
        let folder = self.folder(&self.settings.registries)?;
        let _running = Running::begin(self);
        let arguments = arguments(request, &dockerfile(request, folder.path())?);
        let follower = Follower { service: &request.service, tail: Mutex::default(), log };
        // The command's own limit would be taken for a slow machine and tried again.
        let run = self.command(folder.path())?.args(arguments).time_limit(BUILD_LIMIT * 2);
        match tokio::time::timeout(BUILD_LIMIT, run.stream("build", &follower)).await {
            Ok(output) => {
                if output?.succeeded() {
                    Ok(())
                } else {
                    Err(follower.failure())
                }
            }
            Err(_elapsed) => Err(PortError::Permanent(format!(
                "build of {} did not end within {} minutes and was stopped",
                request.service,
                BUILD_LIMIT.as_secs() / 60
            ))),
        }
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

/// Passes the builder's lines on under the service's name and remembers the last.
struct Follower<'a> {
    service: &'a str,
    tail: Mutex<Tail>,
    log: &'a dyn LogSink,
}

impl Follower<'_> {
    fn failure(self) -> PortError {
        self.tail.into_inner().unwrap_or_else(PoisonError::into_inner).failure(self.service)
    }
}

impl LogSink for Follower<'_> {
    fn line(&self, line: LogLine) {
        if line.text.is_empty() {
            return;
        }
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).take(&line.text);
        self.log.line(LogLine { text: format!("{}: {}", self.service, line.text), ..line });
    }
}

/// The Dockerfile's path; an inline one is written into `folder` first.
fn dockerfile(request: &BuildRequest, folder: &Path) -> PortResult<PathBuf> {
    let Some(inline) = &request.dockerfile_inline else {
        return Ok(request.context.join(request.dockerfile.as_deref().unwrap_or("Dockerfile")));
    };
    let path = folder.join("Dockerfile");
    std::fs::write(&path, inline)
        .map_err(|error| PortError::Transient(format!("cannot write {}: {error}", path.display())))?;
    Ok(path)
}

/// Never `--allow`, and no network but none: a build gets no more than the builder gives to everybody.
/// Values are joined to their option, so that none can be taken for one.
fn arguments(request: &BuildRequest, dockerfile: &Path) -> Vec<OsString> {
    let fixed = ["build", "--builder=default", "--load", "--progress=plain", "--provenance=false"];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).to_vec();
    let mut option = |name: &str, value: &str| arguments.push(format!("--{name}={value}").into());
    option("tag", &request.tag);
    if let Some(target) = &request.target {
        option("target", target);
    }
    if let Some(platform) = &request.platform {
        option("platform", platform);
    }
    for (name, value) in &request.args {
        option("build-arg", &format!("{name}={value}"));
    }
    for (name, source) in &request.additional_contexts {
        option("build-context", &format!("{name}={source}"));
    }
    for host in &request.extra_hosts {
        option("add-host", host);
    }
    for (id, file) in &request.secrets {
        option("secret", &format!("\"id={id}\",\"src={}\"", file.display()));
    }
    if request.network_none {
        option("network", "none");
    }
    for (name, value) in &request.labels {
        option("label", &format!("{name}={value}"));
    }
    if request.pull {
        arguments.push("--pull".into());
    }
    if request.no_cache {
        arguments.push("--no-cache".into());
    }
    arguments.extend(["--file".into(), dockerfile.as_os_str().to_owned()]);
    arguments.extend(["--".into(), request.context.clone().into_os_string()]);
    arguments
}

/// The end of a build's output: what the reason of a failure is made of.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    error: Option<String>,
}

impl Tail {
    fn take(&mut self, line: &str) {
        if let Some(error) = line.strip_prefix("ERROR: ") {
            self.error = Some(error.to_owned());
            return;
        }
        if self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    fn failure(self, service: &str) -> PortError {
        let lines = Vec::from(self.lines).join("\n");
        let Some(error) = self.error else {
            return PortError::Permanent(format!("build of {service} failed:\n{lines}"));
        };
        let reason = error.trim_start_matches("failed to build: ").trim_start_matches("failed to solve: ");
        if may_work_later(&error) {
            return PortError::Transient(format!("build of {service} failed: {reason}"));
        }
        let hint =
            if is_refused(&error) { "; a private base image needs a [[registry]] in drey.toml" } else { "" };
        PortError::Permanent(format!("build of {service} failed: {reason}{hint}\n{lines}"))
    }
}

/// Only the builder's own closing line is judged: what a build step prints is not evidence.
fn may_work_later(error: &str) -> bool {
    let network =
        ["no such host", "i/o timeout", "connection refused", "connection reset", "TLS handshake timeout"];
    error.starts_with("Cannot connect to the Docker daemon")
        || (error.contains("failed to resolve source metadata")
            && network.iter().any(|sign| error.contains(sign)))
}

fn is_refused(error: &str) -> bool {
    ["401 Unauthorized", "403 Forbidden", "authorization failed", "insufficient_scope", "pull access denied"]
        .iter()
        .any(|sign| error.contains(sign))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn request() -> BuildRequest {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        BuildRequest {
            service: "web".to_owned(),
            tag: "drey/shop/web:00".to_owned(),
            context: PathBuf::from("/co/web"),
            dockerfile: Some("docker/Dockerfile".to_owned()),
            dockerfile_inline: None,
            target: Some("--allow=security.insecure".to_owned()),
            platform: None,
            args: map("A", "$(id) --network=host"),
            additional_contexts: map("base", "docker-image://drey/shop/base:11"),
            network_none: true,
            extra_hosts: vec!["a=1.2.3.4".to_owned()],
            secrets: [("token".to_owned(), PathBuf::from("/co/a,b"))].into(),
            labels: map("drey.managed", "true"),
            pull: true,
            no_cache: false,
        }
    }

    #[test]
    fn no_value_becomes_an_option() {
        let arguments = arguments(&request(), Path::new("/co/web/docker/Dockerfile"));
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        assert_eq!(
            arguments,
            [
                "build",
                "--builder=default",
                "--load",
                "--progress=plain",
                "--provenance=false",
                "--tag=drey/shop/web:00",
                "--target=--allow=security.insecure",
                "--build-arg=A=$(id) --network=host",
                "--build-context=base=docker-image://drey/shop/base:11",
                "--add-host=a=1.2.3.4",
                "--secret=\"id=token\",\"src=/co/a,b\"",
                "--network=none",
                "--label=drey.managed=true",
                "--pull",
                "--file",
                "/co/web/docker/Dockerfile",
                "--",
                "/co/web",
            ]
        );
    }

    #[test]
    fn an_inline_dockerfile_lies_in_the_builds_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        let request = BuildRequest { dockerfile_inline: Some("FROM scratch\n".to_owned()), ..request() };
        let path = dockerfile(&request, folder.path()).unwrap();
        assert_eq!(path.parent(), Some(folder.path()));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "FROM scratch\n");
    }

    fn failure(lines: &[&str]) -> PortError {
        let mut tail = Tail::default();
        lines.iter().for_each(|line| tail.take(line));
        tail.failure("web")
    }

    #[test]
    fn a_failing_step_is_told_with_its_output() {
        let error = failure(&[
            "#5 0.123 dial tcp: connection refused",
            "ERROR: failed to build: failed to solve: process \"/bin/sh -c x\" did not complete successfully: exit code: 3",
        ]);
        let text = error.to_string();
        assert!(!error.is_transient());
        assert!(text.starts_with("build of web failed: process \"/bin/sh -c x\" did not"), "{text}");
        assert!(text.contains("#5 0.123 dial tcp"), "{text}");
    }

    #[test]
    fn a_registry_that_is_away_is_tried_again_one_that_refuses_is_not() {
        let head = "ERROR: failed to build: failed to solve: x: failed to resolve source metadata for x:";
        assert!(failure(&[&format!("{head} dial tcp: lookup x: no such host")]).is_transient());
        let refused = failure(&[&format!("{head} unexpected status from HEAD request: 401 Unauthorized")]);
        assert!(refused.to_string().contains("[[registry]]"), "{refused}");
        assert!(!refused.is_transient());
    }
}
