//! Commits of archives: a ref each, `refs/drey/archives/<id>`.
//!
//! Neither a fetch nor what git does to clean up reaches them: fetches name the one ref that they write.

use std::fs::File;
use std::path::Path;

use async_trait::async_trait;
use git2::{ErrorCode, Reference, Repository};

use super::error::{file, local};
use super::{GitAdapter, mirror};
use crate::domain::names::{CommitSha, RepoName};
use crate::ports::{KeptCommits, PortError, PortResult};

/// Where the refs of archives are.
pub(super) const NAMESPACE: &str = "refs/drey/archives/";

#[async_trait]
impl KeptCommits for GitAdapter {
    async fn keep_commit(&self, repo: &RepoName, archive: &str, commit: &CommitSha) -> PortResult<()> {
        let (name, commit) = (reference(archive)?, commit.clone());
        let turn = self.turn_of(repo);
        let _held = turn.take().await;
        self.ask(repo, move |repository| unlocked(repository, || keep(repository, &name, &commit))).await
    }

    async fn release_commit(&self, repo: &RepoName, archive: &str) -> PortResult<()> {
        let name = reference(archive)?;
        let turn = self.turn_of(repo);
        let _held = turn.take().await;
        if !mirror::path(&self.settings.mirrors, repo).exists() {
            return Ok(());
        }
        self.ask(repo, move |repository| unlocked(repository, || release(repository, &name))).await
    }

    async fn kept_commits(&self, repo: &RepoName) -> PortResult<Vec<String>> {
        if !mirror::path(&self.settings.mirrors, repo).exists() {
            return Ok(Vec::new());
        }
        self.ask(repo, |repository| kept(repository).map_err(|error| local(NAMESPACE, &error))).await
    }

    async fn has_commit(&self, repo: &RepoName, commit: &CommitSha) -> PortResult<bool> {
        let commit = commit.clone();
        let found = self.ask(repo, move |repository| mirror::tree(repository, &commit).map(|_| ())).await;
        match found {
            Ok(()) => Ok(true),
            Err(PortError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Once more without the lock that a daemon left which was killed. Under the mirror's own lock: nobody else writes.
fn unlocked(repository: &Repository, work: impl Fn() -> PortResult<()>) -> PortResult<()> {
    match work() {
        Err(PortError::Transient(_)) => {
            mirror::unlock(repository.path());
            work()
        }
        done => done,
    }
}

fn keep(repository: &Repository, name: &str, commit: &CommitSha) -> PortResult<()> {
    let commit = mirror::commit(repository, commit)?;
    repository
        .reference(name, commit.id(), true, "drey: kept for an archive")
        .map_err(|error| local(name, &error))?;
    // The archive's row, which says that the commit is kept, is durable: so has to be the ref. Packed away in between
    // by somebody's `git gc` it is durable already.
    let path = repository.path().join(name);
    for path in path.ancestors().take_while(|path| *path != repository.path()) {
        sync(path)?;
    }
    Ok(())
}

fn kept(repository: &Repository) -> Result<Vec<String>, git2::Error> {
    let mut ids = Vec::new();
    for reference in repository.references_glob(&format!("{NAMESPACE}*"))? {
        ids.extend(reference?.name().ok().and_then(|name| name.strip_prefix(NAMESPACE)).map(str::to_owned));
    }
    Ok(ids)
}

fn release(repository: &Repository, name: &str) -> PortResult<()> {
    match repository.find_reference(name).and_then(|mut reference| reference.delete()) {
        Err(error) if error.code() != ErrorCode::NotFound => Err(local(name, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync(path: &Path) -> PortResult<()> {
    match File::open(path).and_then(|opened| opened.sync_all()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file("cannot make durable", path, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An id becomes a path in the mirror: only what git takes for one part of a ref's name.
fn reference(archive: &str) -> PortResult<String> {
    let name = format!("{NAMESPACE}{archive}");
    if archive.contains('/') || archive.starts_with('-') || !Reference::is_valid_name(&name) {
        return Err(PortError::Permanent(format!("{archive:?} is not the id of an archive")));
    }
    Ok(name)
}
