//! A git folder as `git` itself sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::HookInstallError;
use super::place::{Kept, failed, make_folder};

/// The folder that holds refs, configuration and hooks; of several work trees the common one.
pub(super) struct GitFolder {
    path: PathBuf,
}

impl GitFolder {
    pub(super) fn open(given: &Path) -> Result<Self, HookInstallError> {
        let given = given.canonicalize().map_err(failed(given, "cannot be opened"))?;
        let common = run(&given, &["rev-parse", "--git-common-dir"])?.unwrap_or_default();
        let path = given.join(common);
        let path = path.canonicalize().map_err(failed(&path, "cannot be opened"))?;
        // A folder inside some other repository is not meant.
        let holds = path == given || path == given.join(".git") || given.join(".git").is_file();
        if !holds {
            let reason = format!("is no repository itself, but inside of {}; name that one", path.display());
            return Err(HookInstallError::Folder { path: given, reason });
        }
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_bare(&self) -> Result<bool, HookInstallError> {
        Ok(run(&self.path, &["config", "--type=bool", "--get", "core.bare"])?.as_deref() == Some("true"))
    }

    /// The folder of the hooks: `hooks`, or that of `core.hooksPath` where it is inside of this git folder. Anywhere
    /// else it would be shared with other repositories, or be part of the checkout.
    pub(super) fn hooks(&self) -> Result<PathBuf, HookInstallError> {
        let configured = run(&self.path, &["config", "--type=path", "--get", "core.hooksPath"])?;
        let hooks = match configured.filter(|path| !path.is_empty()) {
            None => self.path.join("hooks"),
            // From the folder in which hooks run: of a bare repository the git folder itself.
            Some(path) if Path::new(&path).is_absolute() || self.is_bare()? => self.path.join(path),
            Some(path) => self.path.parent().unwrap_or(&self.path).join(path),
        };
        make_folder(&hooks)?;
        let hooks = hooks.canonicalize().map_err(failed(&hooks, "cannot be opened"))?;
        if hooks.starts_with(&self.path) {
            return Ok(hooks);
        }
        Err(HookInstallError::Folder {
            path: hooks,
            reason: "core.hooksPath leads out of the repository, maybe to hooks that others share; unset it, or set it \
                     for this repository: git config core.hooksPath <git folder>/hooks"
                .to_owned(),
        })
    }

    /// Sets a key in the repository's own configuration. True when that changed it.
    pub(super) fn set(&self, key: &str, value: &str) -> Result<bool, HookInstallError> {
        if run(&self.path, &["config", "--local", "--get-all", key])?.as_deref() == Some(value) {
            return Ok(false);
        }
        let config = Kept::of(&self.path.join("config"))?;
        let set = run(&self.path, &["config", "--local", "--replace-all", key, value]);
        // Also where git failed: it may have written before.
        config.give_back()?;
        set.map(|_| true)
    }
}

/// What git prints; `None` where it has no such key.
fn run(folder: &Path, arguments: &[&str]) -> Result<Option<String>, HookInstallError> {
    let command = arguments.join(" ");
    let refuse = |reason: String| HookInstallError::Git { command: command.clone(), reason };
    #[expect(
        clippy::disallowed_methods,
        reason = "a command of the operator, in the operator's own repository"
    )]
    let output = Command::new("git")
        // Named by the operator: it may be somebody else's.
        .args(["-c", "safe.directory=*", "-C"])
        .arg(folder)
        .args(arguments)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_CONFIG")
        .output()
        .map_err(|error| refuse(format!("cannot be started: {error}; install git")))?;
    if output.status.success() {
        let text = String::from_utf8(output.stdout).map_err(|error| refuse(error.to_string()))?;
        return Ok(Some(text.trim_end_matches('\n').to_owned()));
    }
    if output.status.code() == Some(1) && output.stderr.is_empty() {
        return Ok(None);
    }
    Err(refuse(format!("in {}: {}", folder.display(), String::from_utf8_lossy(&output.stderr).trim())))
}
