//! From raw files to the canonical document: scan, then `config` in the jail.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::facts;
use super::joints::{self, ScannedFiles};
use super::memory::{self, Memory};
use super::messages;
use super::tool::{self, ComposeSettings};
use crate::domain::policy::paths_used;
use crate::ports::{PortError, PortResult, RenderRequest, Rendered};

/// Scans the raw files, then resolves them, unless that was done before. Nothing of a file is believed before the scan.
/// `folder` is where the tool's own files are put for the while, if not beside the checkout.
pub(super) async fn render(
    (settings, memory): (&ComposeSettings, &Memory),
    request: &RenderRequest,
    folder: Option<PathBuf>,
) -> PortResult<Rendered> {
    let scanned = joints::scan(&request.checkout, &request.files)?;
    let key = memory::key(request, &scanned);
    let document = match memory.recall(&request.project, &key) {
        Some(document) => document,
        None => {
            let folder = folder.unwrap_or_else(|| beside(&request.checkout));
            let document = resolve(settings, request, &scanned, folder).await?;
            memory.keep(&request.project, key, &document);
            document
        }
    };
    let facts = facts::look(&request.checkout, &paths_used(&document));
    let ScannedFiles { files, remarks, sources, .. } = scanned;
    Ok(Rendered { document, files, facts, remarks, sources })
}

async fn resolve(
    settings: &ComposeSettings,
    request: &RenderRequest,
    ScannedFiles { files, env_text, .. }: &ScannedFiles,
    folder: PathBuf,
) -> PortResult<Value> {
    let folder = WorkFolder::create(folder)?;
    let env_file = folder.write_env_file(env_text)?;
    let arguments = config_arguments(request, files, &env_file);
    let output = tool::resolve(settings, request, arguments, &folder.path).await?;
    if !output.succeeded() {
        return Err(messages::config_error(&output, &request.checkout));
    }
    if output.truncated {
        return Err(PortError::Permanent(
            "compose: the resolved compose files are larger than 16 MiB".to_owned(),
        ));
    }
    let document = serde_json::from_slice(&output.stdout)
        .map_err(|error| PortError::Permanent(format!("compose gave a document that is no JSON: {error}")))?;
    match key_with(&document, &folder.path.to_string_lossy(), "") {
        None => Ok(document),
        Some(key) => Err(PortError::Refused(format!(
            "{key}: takes a value of the process that reads the files; write the value"
        ))),
    }
}

/// The key of the first text that contains this one: whatever the scan has overlooked, the tool's own folder is not
/// given away.
fn key_with(value: &Value, text: &str, key: &str) -> Option<String> {
    match value {
        Value::String(found) => found.contains(text).then(|| key.to_owned()),
        Value::Array(items) => items.iter().find_map(|item| key_with(item, text, key)),
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            if name.contains(text) { Some(below) } else { key_with(value, text, &below) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn beside(checkout: &Path) -> PathBuf {
    let mut name = checkout.file_name().unwrap_or_default().to_owned();
    name.push(".render");
    checkout.with_file_name(name)
}

fn config_arguments(request: &RenderRequest, files: &[PathBuf], env_file: &Path) -> Vec<OsString> {
    let mut arguments = tool::project_arguments(request.project.as_str());
    // Where paths in the files count from: the scan looked there.
    let folder = files.first().and_then(|file| file.parent()).filter(|folder| *folder != Path::new(""));
    let folder = folder.map_or_else(|| request.checkout.clone(), |folder| request.checkout.join(folder));
    arguments.extend(["--project-directory".into(), folder.into_os_string()]);
    for file in files {
        arguments.extend(["--file".into(), request.checkout.join(file).into_os_string()]);
    }
    arguments.extend(["--env-file".into(), env_file.as_os_str().to_owned()]);
    arguments.extend(["--profile", "*", "config", "--format", "json"].map(OsString::from));
    arguments
}

/// The tool's configuration folder and env file; removed when dropped.
#[derive(Debug)]
struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    /// One that an earlier run left behind is replaced: nobody else renders this checkout.
    fn create(path: PathBuf) -> PortResult<Self> {
        let failed = |error: std::io::Error| {
            PortError::Transient(format!("cannot make the folder {}: {error}", path.display()))
        };
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(failed)?;
        }
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self { path })
    }

    fn write_env_file(&self, text: &str) -> PortResult<PathBuf> {
        let path = self.path.join("env");
        std::fs::write(&path, text).map_err(|error| {
            PortError::outside("the stack", format!("cannot write {}: {error}", path.display()))
        })?;
        Ok(path)
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a folder of compose could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::names::ProjectName;

    fn request(checkout: &Path) -> RenderRequest {
        RenderRequest {
            checkout: checkout.to_owned(),
            project: ProjectName::from_stored("drey-ab-1-x".to_owned()),
            files: Vec::new(),
            variables: BTreeMap::new(),
        }
    }

    #[test]
    fn files_and_profiles_are_always_given() {
        let files = [PathBuf::from("compose.yaml"), PathBuf::from("compose.override.yaml")];
        let arguments = config_arguments(&request(Path::new("/co")), &files, Path::new("/co.render/env"));
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        assert_eq!(
            arguments.join(" "),
            "--ansi never --project-name drey-ab-1-x --project-directory /co --file /co/compose.yaml \
             --file /co/compose.override.yaml --env-file /co.render/env --profile * config --format json"
        );
    }

    #[test]
    fn paths_count_from_the_folder_of_the_first_file() {
        let files = [PathBuf::from("ops/compose.yaml"), PathBuf::from("more.yaml")];
        let arguments = config_arguments(&request(Path::new("/co")), &files, Path::new("/env"));
        let at = arguments.iter().position(|argument| argument == "--project-directory").unwrap();
        assert_eq!(arguments[at + 1], "/co/ops");
    }

    #[test]
    fn the_tools_own_folder_is_found_in_a_document() {
        let document = serde_json::json!({ "services": { "web": { "command": ["a", "x=/co.render/"] } } });
        assert_eq!(key_with(&document, "/co.render", "").as_deref(), Some("services.web.command"));
        assert_eq!(key_with(&document, "/cp.render", ""), None);
    }

    #[test]
    fn the_work_folder_replaces_an_old_one_and_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let checkout = parent.path().join("co");
        let path = parent.path().join("co.render");
        std::fs::create_dir_all(path.join("old")).unwrap();
        assert_eq!(beside(&checkout), path);
        let folder = WorkFolder::create(path.clone()).unwrap();
        assert!(!path.join("old").exists());
        assert_eq!(std::fs::read_to_string(folder.write_env_file("A=1\n").unwrap()).unwrap(), "A=1\n");
        drop(folder);
        assert!(!path.exists());
    }
}
