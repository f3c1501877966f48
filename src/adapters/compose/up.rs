//! Starting and stopping a project.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::messages::Translator;
use super::tool::{self, ComposeSettings};
use crate::domain::names::ProjectName;
use crate::ports::{LogSink, PortError, PortResult, UpRequest};

/// The settings, and the form of progress that the tool knows.
type Tool<'a> = (&'a ComposeSettings, &'static str);

/// Deploys the document to the letter. Returns when every container is started, and every condition that another
/// service waits for is met: the deadline is the caller's, who drops the future.
pub(super) async fn up(tool: Tool<'_>, request: &UpRequest, log: &dyn LogSink) -> PortResult<()> {
    let document = write_document(&request.directory, &request.stack.document)?;
    let arguments = up_arguments(tool, request, &document);
    run(tool, arguments, ("start", &request.project), log).await
}

/// Works from the labels of what runs: no file, and nothing to do when there is nothing.
pub(super) async fn stop(
    tool: Tool<'_>,
    project: &ProjectName,
    timeout_seconds: u32,
    log: &dyn LogSink,
) -> PortResult<()> {
    let arguments = stop_arguments(tool, project, timeout_seconds);
    run(tool, arguments, ("stop", project), log).await
}

async fn run(
    (settings, _): Tool<'_>,
    arguments: Vec<OsString>,
    (action, project): (&str, &ProjectName),
    log: &dyn LogSink,
) -> PortResult<()> {
    let translator = Translator::new(project.as_str(), log);
    if tool::run(settings, arguments, &translator).await? {
        return Ok(());
    }
    Err(translator.failure(action))
}

/// No `--yes`: its one question is whether a volume may be made anew, and the answer is no.
fn up_arguments(tool: Tool<'_>, request: &UpRequest, document: &Path) -> Vec<OsString> {
    let mut arguments = engine_arguments(tool, &request.project);
    arguments.extend(["--project-directory".into(), request.directory.clone().into_os_string()]);
    arguments.extend(["--file".into(), document.as_os_str().to_owned()]);
    arguments
        .extend(["up", "--detach", "--no-build", "--pull", "never", "--remove-orphans"].map(OsString::from));
    if request.recreate {
        arguments.push("--force-recreate".into());
    }
    arguments
}

fn stop_arguments(tool: Tool<'_>, project: &ProjectName, timeout_seconds: u32) -> Vec<OsString> {
    let mut arguments = engine_arguments(tool, project);
    arguments.extend(["stop".into(), "--timeout".into(), timeout_seconds.to_string().into()]);
    arguments
}

/// The engine is given as an option: a variable would be visible to `environment: [DOCKER_HOST]`.
fn engine_arguments((settings, progress): Tool<'_>, project: &ProjectName) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--host".into(), settings.engine_host.clone().into()];
    arguments.extend(tool::project_arguments(project.as_str()));
    arguments.extend(["--progress", progress].map(OsString::from));
    arguments
}

/// Never half there: a later start may read it. For the owner only, it holds what `${…}` was filled with.
fn write_document(directory: &Path, document: &Value) -> PortResult<PathBuf> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let path = directory.join("compose.json");
    let temporary = directory.join("compose.json.new");
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        if temporary.exists() {
            std::fs::remove_file(&temporary)?;
        }
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(document.to_string().as_bytes())?;
        std::fs::rename(&temporary, &path)
    };
    write().map_err(|error| PortError::Transient(format!("cannot write {}: {error}", path.display())))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::domain::stack::{ReadinessSpec, Stack};
    use serde_json::json;

    fn settings() -> ComposeSettings {
        ComposeSettings {
            engine_host: "unix:///run/engine.sock".to_owned(),
            drey: None,
            home: None,
            empty_folder: PathBuf::from("/data/empty"),
            overlay: None,
        }
    }

    fn text(arguments: &[OsString]) -> String {
        arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn up_never_builds_pulls_or_answers_yes() {
        let stack = Stack {
            document: json!({}),
            digest: String::new(),
            services: BTreeMap::new(),
            networks: Vec::new(),
            volumes: Vec::new(),
            binds: Vec::new(),
            routes: Vec::new(),
            readiness: ReadinessSpec { path: "/".to_owned(), within_seconds: 120 },
            settings: Default::default(),
        };
        let request = UpRequest {
            project: ProjectName::from_stored("drey-ab-1-x".to_owned()),
            directory: PathBuf::from("/data/environments/1"),
            stack,
            recreate: true,
        };
        assert_eq!(
            text(&up_arguments(
                (&settings(), "json"),
                &request,
                Path::new("/data/environments/1/compose.json")
            )),
            "--host unix:///run/engine.sock --ansi never --project-name drey-ab-1-x --progress json \
             --project-directory /data/environments/1 --file /data/environments/1/compose.json \
             up --detach --no-build --pull never --remove-orphans --force-recreate"
        );
    }

    #[test]
    fn stop_needs_no_file() {
        let project = ProjectName::from_stored("drey-ab-1-x".to_owned());
        assert_eq!(
            text(&stop_arguments((&settings(), "plain"), &project, 10)),
            "--host unix:///run/engine.sock --ansi never --project-name drey-ab-1-x --progress plain stop --timeout 10"
        );
    }

    #[test]
    fn the_document_is_written_to_the_letter_for_the_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("new");
        let document = json!({ "services": { "web": { "command": ["echo", "$$HOME"] } } });
        write_document(&directory, &document).unwrap();
        let path = write_document(&directory, &document).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap(), document);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }
}
