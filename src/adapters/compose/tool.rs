//! The tool's binary: where it is, whether it is new enough, and the environment it runs in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::adapters::docker::{find_plugin, plugin_folders};
use crate::adapters::process::life::LIFE;
use crate::adapters::process::{Command, DEFAULT_PATH, GARBAGE_COLLECTION, Jail, Output};
use crate::ports::{PortError, PortResult, RenderRequest};

/// The plugin's name in the folders of the docker command.
const PLUGIN: &str = "docker-compose";
/// First version whose `config` and `up` are what drey builds on.
const OLDEST: (u32, u32) = (2, 24);

/// Longest `config`, on the clock and on the processor; measured 0.14 s.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
/// Address space of `config`, most of it only reserved by the Go runtime: 1.5 GiB ends it in half of the runs
/// before it has read a file, 2 GiB never did.
const RESOLVE_MEMORY: u64 = 3 << 30;
/// Longest `up` or `stop`: far beyond every deadline of the callers, so that none is left behind for ever.
const RUN_LIMIT: Duration = Duration::from_secs(60 * 60);
/// Largest resolved document; the raw files are 1 MiB at most.
const DOCUMENT_LIMIT: usize = 16 * 1024 * 1024;
/// Name prefixes of variables that would steer the tool itself.
const STEERING: [&str; 4] = ["COMPOSE_", "DOCKER_", "LD_", "PATH"];

/// What the tool runs with besides a request's variables, and the value where it is always the same. The scan refuses
/// files that name one.
pub(super) const OWN_VARIABLES: [(&str, Option<&str>); 4] = [
    ("DOCKER_CONFIG", None),
    (LIFE, None),
    ("COMPOSE_EXPERIMENTAL_GIT_REMOTE", Some("0")),
    ("COMPOSE_EXPERIMENTAL_OCI_REMOTE", Some("0")),
];

/// First version with `--progress json`; before it the plain lines are read.
const JSON_PROGRESS: (u32, u32) = (2, 29);

/// What the adapter needs to know.
#[derive(Clone, Debug)]
pub struct ComposeSettings {
    /// The engine, as `DockerSettings::host`.
    pub engine_host: String,
    /// Our own executable, for the jail.
    pub drey: Option<PathBuf>,
    /// Home of the daemon's user: a plugin may be installed there.
    pub home: Option<PathBuf>,
    /// A folder of drey's own that stays empty: the tool's configuration folder, without credentials.
    pub empty_folder: PathBuf,
    /// The operator's own overlay template.
    pub overlay: Option<PathBuf>,
}

/// The binary, or a permanent error that says where it was looked for.
fn binary(settings: &ComposeSettings) -> PortResult<PathBuf> {
    find_plugin(PLUGIN, settings.home.as_deref()).ok_or_else(|| {
        PortError::Permanent(format!(
            "there is no compose plugin ({PLUGIN}) in {}; install docker compose 2.24 or newer",
            plugin_folders()
        ))
    })
}

/// Arguments before every command of a project.
pub(super) fn project_arguments(project: &str) -> Vec<OsString> {
    ["--ansi", "never", "--project-name", project].map(OsString::from).to_vec()
}

/// The command with everything that it gets to see of an environment. No PATH and no HOME: what `config` runs with
/// can be named in the files.
fn prepared(command: Command, configuration: &Path) -> Command {
    let command = command.without("PATH").env("DOCKER_CONFIG", configuration);
    OWN_VARIABLES
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)))
        .fold(command, |command, (name, value)| command.env(name, value))
}

/// Variables of the process beat those of the env file; what would steer the tool is dropped.
fn variables(wanted: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    wanted.iter().filter(|(name, value)| {
        let legal = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        legal && !STEERING.iter().any(|prefix| name.to_ascii_uppercase().starts_with(prefix))
    })
}

/// A command of a project against the engine. Its caller drops the run when its deadline comes, which ends the tool.
pub(super) fn command(settings: &ComposeSettings, arguments: &[OsString]) -> PortResult<Command> {
    make_folder(&settings.empty_folder)?;
    let command = Command::new(binary(settings)?).args(arguments);
    Ok(prepared(command, &settings.empty_folder)
        .env("PATH", DEFAULT_PATH)
        .env("COMPOSE_DISABLE_ENV_FILE", "1")
        .env("COMPOSE_MENU", "0")
        .env("GOGC", GARBAGE_COLLECTION)
        .current_dir(&settings.empty_folder)
        .time_limit(RUN_LIMIT))
}

/// Runs `config` in the jail: it reads the checkout and its own folder, and talks to nobody.
pub(super) async fn resolve(
    settings: &ComposeSettings,
    request: &RenderRequest,
    arguments: Vec<OsString>,
    folder: &Path,
) -> PortResult<Output> {
    let jail = Jail {
        drey: settings.drey.clone(),
        read: vec![request.checkout.clone(), folder.to_owned()],
        memory: Some(RESOLVE_MEMORY),
        cpu_seconds: Some(RESOLVE_LIMIT.as_secs()),
        file_size: Some(0),
        ..Jail::default()
    };
    let mut command = prepared(jail.wrap(binary(settings)?, arguments), folder);
    for (name, value) in variables(&request.variables) {
        command = command.env(name, value);
    }
    command
        .current_dir(&request.checkout)
        .time_limit(RESOLVE_LIMIT)
        .capture_limit(DOCUMENT_LIMIT)
        .output()
        .await
}

/// The version, refused when too old.
pub(super) async fn version(settings: &ComposeSettings) -> PortResult<Version> {
    make_folder(&settings.empty_folder)?;
    let command = Command::new(binary(settings)?).args(["version", "--short"]);
    let output = prepared(command, &settings.empty_folder).run().await?;
    Version::parse(&output.text())
}

fn make_folder(folder: &Path) -> PortResult<()> {
    std::fs::create_dir_all(folder).map_err(|error| {
        PortError::Transient(format!("cannot make the folder {}: {error}", folder.display()))
    })
}

/// A version that is new enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// As the tool spells it, without a leading `v`.
    pub(super) text: String,
    numbers: (u32, u32),
}

impl Version {
    fn parse(answer: &str) -> PortResult<Self> {
        let text = answer.trim().trim_start_matches('v').to_owned();
        let mut parts = text.split(['.', '-', '+']).map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
            return Err(PortError::Permanent(format!("{PLUGIN} gives no version but {answer:?}")));
        };
        let numbers = (major, minor);
        if numbers < OLDEST {
            let (oldest_major, oldest_minor) = OLDEST;
            return Err(PortError::Permanent(format!(
                "docker compose {text} is too old: install {oldest_major}.{oldest_minor} or newer"
            )));
        }
        Ok(Self { text, numbers })
    }

    /// The richest form of progress that it knows.
    pub(super) fn progress(&self) -> &'static str {
        if self.numbers < JSON_PROGRESS { "plain" } else { "json" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_refused() {
        let progress = |answer: &str| Version::parse(answer).map(|version| version.progress());
        assert_eq!(Version::parse("2.40.3-3\n").unwrap().text, "2.40.3-3");
        assert_eq!(progress("v2.24.0").unwrap(), "plain");
        assert_eq!(progress("2.29.1").unwrap(), "json");
        assert_eq!(progress("5.0.0").unwrap(), "json");
        assert!(progress("2.23.9").unwrap_err().to_string().contains("2.24"));
        assert!(progress("1.29.2").is_err());
        assert!(progress("dev").is_err());
    }

    #[test]
    fn variables_cannot_steer_the_tool() {
        let wanted = BTreeMap::from(
            [
                "COMPOSE_FILE",
                "compose_profiles",
                "DOCKER_HOST",
                "LD_PRELOAD",
                "PATH",
                "A=B",
                "",
                "DREY_URL",
                "MAIL_FROM",
            ]
            .map(|name| (name.to_owned(), "x".to_owned())),
        );
        let names: Vec<_> = variables(&wanted).map(|(name, _)| name).collect();
        assert_eq!(names, ["DREY_URL", "MAIL_FROM"]);
    }
}
