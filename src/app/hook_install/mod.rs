//! `drey hook install`: puts the hooks in place and tells git where to send. Doing it again changes nothing.

mod git;
mod place;

use std::path::{Path, PathBuf};

use thiserror::Error;

use self::git::GitFolder;
use self::place::{place_script, write_private};
use crate::config::{Repository, Secret, Settings};
use crate::domain::names::RepoName;
use crate::web::look_token;

const POST_RECEIVE: &str = include_str!("../../../hooks/post-receive");
const POST_MERGE: &str = include_str!("../../../hooks/post-merge");

/// Why a hook is not installed, and the way out.
#[derive(Debug, Error)]
pub enum HookInstallError {
    #[error("the configuration has no repository {name}; known: {known}")]
    UnknownRepository { name: RepoName, known: String },
    #[error(
        "[[repo]] {0}: has no secret, so every delivery would be refused; set secret, secret_file or secret_env"
    )]
    NoSecret(RepoName),
    #[error("{path}: {reason}")]
    Folder { path: PathBuf, reason: String },
    #[error("{path}: {doing}: {error}")]
    File { path: PathBuf, doing: &'static str, error: std::io::Error },
    #[error("git {command}: {reason}")]
    Git { command: String, reason: String },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub hook: PathBuf,
    /// Where it sends to.
    pub url: String,
    /// The hook that stood there before, which runs after ours.
    pub chained: Option<PathBuf>,
    /// False when all was in place before.
    pub changed: bool,
}

/// Puts `post-receive` into the bare repository at `bare`: each push tells the daemon.
pub fn install(settings: &Settings, name: &RepoName, bare: &Path) -> Result<Installed, HookInstallError> {
    let secret = secret(settings, name)?;
    let folder = GitFolder::open(bare)?;
    if !folder.is_bare()? {
        let reason = "is not a bare repository; a developer's clone gets its hook with --client".to_owned();
        return Err(HookInstallError::Folder { path: bare.to_path_buf(), reason });
    }
    let url = format!("{}/hooks/git/{name}", settings.http.address());
    let place = folder.path().join("drey-secret");
    let plan = Plan {
        script: ("post-receive", POST_RECEIVE),
        private: (place.clone(), secret),
        chained_key: "drey.chained",
        settings: vec![
            ("drey.url", url.clone()),
            ("drey.secretFile", text(&place)?),
            ("receive.advertisePushOptions", "true".to_owned()),
        ],
    };
    carry_out(&folder, plan, url)
}

/// Puts `post-merge` into a developer's clone: after a pull the daemon is asked to look at git. The clone gets a token
/// that can do only this, never the repository's secret.
pub fn install_client(
    settings: &Settings,
    name: &RepoName,
    clone: &Path,
) -> Result<Installed, HookInstallError> {
    let secret = secret(settings, name)?;
    let folder = GitFolder::open(clone)?;
    if folder.is_bare()? {
        let reason = "is a bare repository; it gets its hook without --client".to_owned();
        return Err(HookInstallError::Folder { path: clone.to_path_buf(), reason });
    }
    let url = format!("{}/hooks/git/{name}?look=1", settings.http.address());
    let token = folder.path().join("drey-token");
    let plan = Plan {
        script: ("post-merge", POST_MERGE),
        private: (token.clone(), Secret::new(look_token(secret.reveal().as_bytes(), name))),
        chained_key: "drey.chainedPostMerge",
        settings: vec![("drey.lookUrl", url.clone()), ("drey.tokenFile", text(&token)?)],
    };
    carry_out(&folder, plan, url)
}

/// What belongs into a git folder.
struct Plan {
    script: (&'static str, &'static str),
    private: (PathBuf, Secret),
    chained_key: &'static str,
    settings: Vec<(&'static str, String)>,
}

/// The script comes last: a hook that is there finds its settings, whenever we die.
fn carry_out(folder: &GitFolder, plan: Plan, url: String) -> Result<Installed, HookInstallError> {
    let (name, script) = plan.script;
    let hooks = folder.hooks()?;
    let (path, secret) = plan.private;
    let mut changed = write_private(&path, secret.reveal())?;
    for (key, value) in plan.settings {
        changed |= folder.set(key, &value)?;
    }
    let hook = hooks.join(name);
    let aside = hooks.join(format!("{name}.drey-chained"));
    let mut chained = None;
    if place::is_foreign(&hook)? || aside.exists() {
        changed |= folder.set(plan.chained_key, &text(&aside)?)?;
        chained = Some(aside.clone());
    }
    changed |= place_script(&hook, &aside, script)?;
    Ok(Installed { hook, url, chained, changed })
}

fn repository<'a>(settings: &'a Settings, name: &RepoName) -> Result<&'a Repository, HookInstallError> {
    settings.repositories.iter().find(|repository| repository.name == *name).ok_or_else(|| {
        let known: Vec<&str> =
            settings.repositories.iter().map(|repository| repository.name.as_str()).collect();
        HookInstallError::UnknownRepository { name: name.clone(), known: known.join(", ") }
    })
}

fn secret(settings: &Settings, name: &RepoName) -> Result<Secret, HookInstallError> {
    repository(settings, name)?.secret.clone().ok_or_else(|| HookInstallError::NoSecret(name.clone()))
}

fn text(path: &Path) -> Result<String, HookInstallError> {
    path.to_str().map(str::to_owned).ok_or_else(|| HookInstallError::Folder {
        path: path.to_path_buf(),
        reason: "is not UTF-8, which git's configuration needs; move it".to_owned(),
    })
}

#[cfg(test)]
mod tests;
