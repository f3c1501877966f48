//! Starting and stopping a project.

use std::ffi::OsString;
use std::path::Path;

use super::messages::Translator;
use super::tool::{self, ComposeSettings};
use crate::adapters::process::{Ahead, Started};
use crate::domain::names::ProjectName;
use crate::ports::{Expectation, LogSink, PortError, PortResult, UpRequest, failpoint};

/// The settings, and the form of progress that the tool knows.
type Tool<'a> = (&'a ComposeSettings, &'static str);

/// Runs of the tool that wait for their document, by their arguments.
pub(super) type Waiting = Ahead<Vec<OsString>, Started>;

/// Starts the tool for an `up` to come. It reads its document from its standard input.
pub(super) fn expect(
    tool: Tool<'_>,
    waiting: &Waiting,
    project: &ProjectName,
    directory: &Path,
) -> PortResult<Expectation> {
    let arguments = up_arguments(tool, project, directory, false);
    let started = tool::command(tool.0, &arguments)?.start()?;
    Ok(waiting.put(arguments, started))
}

/// Deploys the document to the letter. Returns when every container is started, and every condition that another
/// service waits for is met: the deadline is the caller's, who drops the future.
pub(super) async fn up(
    tool: Tool<'_>,
    waiting: &Waiting,
    request: &UpRequest,
    log: &dyn LogSink,
) -> PortResult<()> {
    let document = request.stack.document.to_string().into_bytes();
    write_document(&request.directory, &document)?;
    failpoint("up.written");
    let arguments = up_arguments(tool, &request.project, &request.directory, request.recreate);
    let started = match waiting.take(&arguments) {
        Some(started) => started,
        None => tool::command(tool.0, &arguments)?.start()?,
    };
    let translator = Translator::new(request.project.as_str(), log);
    let output = started.stream(document, "compose", &translator).await?;
    if output.succeeded() { Ok(()) } else { Err(translator.failure("start")) }
}

/// Works from the labels of what runs: no file, and nothing to do when there is nothing.
pub(super) async fn stop(
    tool: Tool<'_>,
    project: &ProjectName,
    timeout_seconds: u32,
    log: &dyn LogSink,
) -> PortResult<()> {
    let arguments = stop_arguments(tool, project, timeout_seconds);
    let translator = Translator::new(project.as_str(), log);
    let output = tool::command(tool.0, &arguments)?.stream("compose", &translator).await?;
    if output.succeeded() { Ok(()) } else { Err(translator.failure("stop")) }
}

/// No `--yes`: its one question is whether a volume may be made anew, and the answer is no.
fn up_arguments(tool: Tool<'_>, project: &ProjectName, directory: &Path, recreate: bool) -> Vec<OsString> {
    let mut arguments = engine_arguments(tool, project);
    arguments.extend(["--project-directory".into(), directory.as_os_str().to_owned()]);
    arguments.extend(["--file", "-"].map(OsString::from));
    arguments
        .extend(["up", "--detach", "--no-build", "--pull", "never", "--remove-orphans"].map(OsString::from));
    if recreate {
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

/// What runs, for people and for the archive; never half there. For the owner only, it holds what `${…}` was filled with.
fn write_document(directory: &Path, document: &[u8]) -> PortResult<()> {
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
        file.write_all(document)?;
        std::fs::rename(&temporary, &path)
    };
    write()
        .map_err(|error| PortError::outside("the stack", format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

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
        let project = ProjectName::from_stored("drey-ab-1-x".to_owned());
        assert_eq!(
            text(&up_arguments((&settings(), "json"), &project, Path::new("/data/environments/1"), true)),
            "--host unix:///run/engine.sock --ansi never --project-name drey-ab-1-x --progress json \
             --project-directory /data/environments/1 --file - up --detach --no-build --pull never --remove-orphans --force-recreate"
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
        let document = br#"{"services":{"web":{"command":["echo","$$HOME"]}}}"#;
        write_document(&directory, b"{}").unwrap();
        write_document(&directory, document).unwrap();
        let path = directory.join("compose.json");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap(), document);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }
}
