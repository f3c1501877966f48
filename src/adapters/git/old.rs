//! Mirrors and refs that may not be needed any more: found, and removed.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::error::{file, local};
use super::{GitAdapter, blocking, mirror};
use crate::domain::names::{BranchName, RepoName};
use crate::domain::time::Timestamp;
use crate::ports::PortResult;

/// All refs of branches.
const BRANCHES: &str = "refs/branches/*";
/// Places in a mirror that change when it is used.
const USED: [&str; 4] = ["", "refs/branches", "refs/drey", "objects/pack"];

impl GitAdapter {
    /// The mirrors that are there, each with the time of its last fetch.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn mirrors(&self) -> PortResult<Vec<(RepoName, Timestamp)>> {
        let mirrors = self.settings.mirrors.clone();
        blocking(move || {
            let entries = match fs::read_dir(&mirrors) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries.map_err(|error| file("cannot read", &mirrors, &error))?,
            };
            let mirror = |name: std::ffi::OsString| {
                let repo = RepoName::parse(name.to_str()?.strip_suffix(".git")?).ok()?;
                let used_at = used_at(&mirror::path(&mirrors, &repo));
                Some((repo, used_at))
            };
            Ok(entries.flatten().filter_map(|entry| mirror(entry.file_name())).collect())
        })
        .await
    }

    /// Removes a mirror, what is left of one too; gone already is success.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove_mirror(&self, repo: &RepoName) -> PortResult<()> {
        let turn = self.turn_of(repo);
        let _held = turn.take().await;
        let (mirror, config) =
            (mirror::path(&self.settings.mirrors, repo), mirror::config_path(&self.settings.mirrors, repo));
        blocking(move || {
            let gone = |removed: std::io::Result<()>, path: &Path| match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(file("cannot remove", path, &error)),
                Ok(()) | Err(_) => Ok(()),
            };
            gone(fs::remove_dir_all(&mirror), &mirror)?;
            gone(fs::remove_file(&config), &config)
        })
        .await
    }

    /// Drops the refs of all other branches; what they led to goes with the next tidying, in its time. Says how many.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub async fn forget_others(&self, repo: &RepoName, needed: &BTreeSet<BranchName>) -> PortResult<usize> {
        let turn = self.turn_of(repo);
        let _held = turn.take().await;
        if !mirror::path(&self.settings.mirrors, repo).join("HEAD").exists() {
            return Ok(0);
        }
        let needed: BTreeSet<String> = needed.iter().map(mirror::reference).collect();
        self.ask(repo, move |repository| {
            let failed = |error: git2::Error| local("refs of branches", &error);
            let mut others = Vec::new();
            for reference in repository.references_glob(BRANCHES).map_err(failed)? {
                let reference = reference.map_err(failed)?;
                if reference.name().is_ok_and(|name| !needed.contains(name)) {
                    others.push(reference);
                }
            }
            let count = others.len();
            others.into_iter().try_for_each(|mut reference| reference.delete()).map_err(failed)?;
            Ok(count)
        })
        .await
    }
}

fn used_at(mirror: &Path) -> Timestamp {
    let changed = |place: &str| {
        let time = mirror.join(place).metadata().ok()?.modified().ok()?;
        i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    };
    Timestamp::from_millis(USED.into_iter().filter_map(changed).max().unwrap_or(0))
}
