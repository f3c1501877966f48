//! git2 for what is local, the git command for the remote.
//!
//! One bare mirror per repository keeps the objects; nothing is ever checked out in it. Full refs and full ids
//! only: a branch name is never a path, an option or a shell word.

mod address;
mod behind;
mod changes;
mod differences;
mod error;
mod fault;
mod kept;
mod limits;
mod merged;
mod merging;
mod mirror;
mod old;
mod remote;
mod renew;
mod size;
mod tidy;
mod times;
mod tree;
mod turn;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use git2::Repository;

pub use limits::GitLimits;
pub use tidy::Tidied;

use remote::{Failed, Wanted};
use turn::Turn;

use crate::domain::images::{BuildInputs, BuildSources};
use crate::domain::names::{BranchName, CommitSha, RepoName};
use crate::ports::{Git, PortError, PortResult, Remote, TreeLimits, TreeNotes, meters};

/// What the adapter needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitSettings {
    /// Folder of the mirrors: `<repo>.git` each. Drey's own; nobody else writes there.
    pub mirrors: PathBuf,
    /// Repositories may be paths on this machine.
    pub allow_file: bool,
    /// Our own executable: the git command then runs in the jail.
    pub drey: Option<PathBuf>,
    /// Folder with keys and known hosts for `ssh://`, as ssh finds it (`~/.ssh`): readable in the jail.
    pub ssh_directory: Option<PathBuf>,
    pub limits: GitLimits,
}

/// [`Git`] by mirrors. Clones share their locks.
#[derive(Clone, Debug)]
pub struct GitAdapter {
    settings: Arc<GitSettings>,
    /// One at a time writes into each mirror.
    turns: Arc<Mutex<HashMap<RepoName, Arc<Turn>>>>,
    /// One mirror is made at a time: a moment, so that nobody who only asks waits for a fetch.
    making: Arc<Mutex<()>>,
    distances: behind::Distances,
}

impl GitAdapter {
    /// Touches nothing: mirrors are made when they are first needed.
    pub fn new(settings: GitSettings) -> Self {
        // The git command checked every object when it was fetched; hashing them at each reading costs more than all
        // else about writing a tree.
        git2::opts::strict_hash_verification(false);
        Self {
            settings: Arc::new(settings),
            turns: Arc::default(),
            making: Arc::default(),
            distances: Arc::default(),
        }
    }

    fn turn_of(&self, repo: &RepoName) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(repo.clone()).or_default())
    }

    /// Packs what lies loose in the mirror and joins its packs, where there are many: once a day at most, slowly, and
    /// only until somebody wants to fetch.
    ///
    /// # Errors
    /// When git fails or takes too long; the mirror is as good as before.
    pub async fn tidy(&self, repo: &RepoName) -> PortResult<Tidied> {
        tidy::tidy(&self.settings, repo, &self.turn_of(repo)).await
    }

    /// Makes the mirror ready for the git command and says how to reach the remote.
    async fn connect(&self, remote: &Remote) -> PortResult<remote::Connection> {
        let connection = remote::Connection::new(&self.settings, remote)?;
        let (settings, repo) = (Arc::clone(&self.settings), remote.repo.clone());
        let config = connection.config();
        let making = Arc::clone(&self.making);
        blocking(move || {
            let _held = making.lock().unwrap_or_else(PoisonError::into_inner);
            renew::finish_interrupted(&mirror::path(&settings.mirrors, &repo));
            mirror::prepare(&settings.mirrors, &repo, &config)
        })
        .await?;
        Ok(connection)
    }

    /// Runs `question` on the opened mirror, off the async threads.
    async fn ask<T, F>(&self, repo: &RepoName, question: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Repository) -> PortResult<T> + Send + 'static,
    {
        let path = mirror::path(&self.settings.mirrors, repo);
        let answer = blocking(move || question(&mirror::open(&path)?)).await;
        match answer {
            Err(error) if error::tells_damage(&error) && self.turn_of(repo).suspect() => {
                Err(PortError::Transient(format!("{error}; it is fetched anew")))
            }
            answer => answer,
        }
    }

    /// Fetches into the mirror that lies there, and says where the branch is.
    async fn fetch_into(
        &self,
        connection: &remote::Connection,
        mirror: &Path,
        wanted: Wanted<'_>,
    ) -> Result<Option<CommitSha>, Failed> {
        let unclear = |error| Failed { error, is_unclear: true };
        let (path, asked) = (mirror.to_owned(), wanted.branch.clone());
        let is_known = blocking(move || {
            mirror::sweep(&path);
            Ok(mirror::tip(&mirror::open(&path)?, &asked).is_ok())
        });
        let is_first = !is_known.await.map_err(unclear)?;
        let is_there = connection.fetch(mirror, wanted, is_first).await?;
        let (path, asked) = (mirror.to_owned(), wanted.branch.clone());
        let tip = blocking(move || {
            let repository = mirror::open(&path)?;
            if is_there {
                return mirror::tip(&repository, &asked).map(Some);
            }
            mirror::forget(&repository, &asked)?;
            Ok(None)
        });
        tip.await.map_err(unclear)
    }

    /// Fetches the branch into a new mirror. Where that works, it was the old one that did not: the new one takes its
    /// place. Under the lock.
    async fn renew(
        &self,
        connection: &remote::Connection,
        repo: &RepoName,
        wanted: Wanted<'_>,
    ) -> Result<Option<CommitSha>, Failed> {
        self.turn_of(repo).renews();
        let mirror = mirror::path(&self.settings.mirrors, repo);
        let fresh = renew::begin(&mirror).await?;
        let fetched = match self.fetch_into(connection, &fresh, wanted).await {
            Ok(fetched) => fetched,
            Err(failed) => {
                renew::give_up(fresh).await;
                return Err(failed);
            }
        };
        let aside = renew::carry_over(&self.settings, repo, &fresh).await?;
        let making = Arc::clone(&self.making);
        blocking(move || {
            let _held = making.lock().unwrap_or_else(PoisonError::into_inner);
            renew::swap(&mirror, &aside)
        })
        .await?;
        Ok(fetched)
    }

    async fn fetch_or_renew(&self, remote: &Remote, wanted: Wanted<'_>) -> PortResult<Option<CommitSha>> {
        let turn = self.turn_of(&remote.repo);
        let _held = turn.take().await;
        let connection = self.connect(remote).await?;
        let mirror = mirror::path(&self.settings.mirrors, &remote.repo);
        let failed = if turn.is_suspect() {
            None
        } else {
            match self.fetch_into(&connection, &mirror, wanted).await {
                Ok(fetched) => return Ok(fetched),
                Err(failed) => Some(failed),
            }
        };
        match failed {
            // Whoever tells its branches can be fetched from, so it may be the mirror.
            Some(failed)
                if !failed.is_unclear || !turn.may_renew() || connection.branches().await.is_err() =>
            {
                Err(failed.error)
            }
            Some(_) | None => {
                self.renew(&connection, &remote.repo, wanted).await.map_err(|failed| failed.error)
            }
        }
    }
}

#[async_trait]
impl Git for GitAdapter {
    async fn branches(&self, remote: &Remote) -> PortResult<BTreeMap<BranchName, CommitSha>> {
        let connection = meters::git("branches", self.connect(remote).await)?;
        meters::git("branches", connection.branches().await)
    }

    async fn fetch(&self, remote: &Remote, branch: &BranchName) -> PortResult<Option<CommitSha>> {
        let reference = branch.full_ref();
        meters::git("fetch", self.fetch_or_renew(remote, Wanted { reference: &reference, branch }).await)
    }

    async fn write_tree(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        destination: &Path,
        limits: TreeLimits,
    ) -> PortResult<TreeNotes> {
        // A thread cannot be dropped: when the future is, the thread is told and cleans up behind itself.
        let given_up = GiveUp(Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&given_up.0);
        let (commit, destination) = (commit.clone(), destination.to_owned());
        let done = self
            .ask(repo, move |repository| {
                write::write_tree(
                    repository,
                    &mirror::tree(repository, &commit)?,
                    &destination,
                    limits,
                    &flag,
                )
            })
            .await;
        meters::git("write_tree", done)
    }

    async fn content_ids(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        paths: &[PathBuf],
    ) -> PortResult<BTreeMap<PathBuf, String>> {
        let (commit, paths) = (commit.clone(), paths.to_vec());
        let done = self
            .ask(repo, move |repository| {
                tree::content_ids(repository, &mirror::tree(repository, &commit)?, paths)
            })
            .await;
        meters::git("content_ids", done)
    }

    async fn build_inputs(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        sources: &BuildSources,
    ) -> PortResult<BuildInputs> {
        let (commit, sources) = (commit.clone(), sources.clone());
        let done = self
            .ask(repo, move |repository| {
                tree::build_inputs(repository, &mirror::tree(repository, &commit)?, &sources)
            })
            .await;
        meters::git("build_inputs", done)
    }

    async fn is_own_commit(&self, repo: &RepoName, commit: &CommitSha, main: &CommitSha) -> PortResult<bool> {
        let (commit, main) = (commit.clone(), main.clone());
        let done = self
            .ask(repo, move |repository| {
                let (commit, main) =
                    (mirror::commit(repository, &commit)?, mirror::commit(repository, &main)?);
                merged::is_reachable(repository, commit.id(), main.id()).map(|reachable| !reachable)
            })
            .await;
        meters::git("is_own_commit", done)
    }

    async fn is_merged(&self, repo: &RepoName, tip: &CommitSha, main: &CommitSha) -> PortResult<bool> {
        let (tip, main) = (tip.clone(), main.clone());
        let done = self
            .ask(repo, move |repository| {
                merged::is_merged(
                    repository,
                    &mirror::commit(repository, &tip)?,
                    &mirror::commit(repository, &main)?,
                )
            })
            .await;
        meters::git("is_merged", done)
    }

    async fn forget(&self, repo: &RepoName, branch: &BranchName) -> PortResult<()> {
        let turn = self.turn_of(repo);
        let _held = turn.take().await;
        if !mirror::path(&self.settings.mirrors, repo).exists() {
            return Ok(());
        }
        let branch = branch.clone();
        self.ask(repo, move |repository| mirror::forget(repository, &branch)).await
    }
}

fn sha(id: git2::Oid) -> PortResult<CommitSha> {
    CommitSha::parse(&id.to_string()).map_err(|error| PortError::Permanent(error.to_string()))
}

async fn blocking<T, F>(work: F) -> PortResult<T>
where
    T: Send + 'static,
    F: FnOnce() -> PortResult<T> + Send + 'static,
{
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| PortError::Transient(format!("git: the work broke off: {error}")))?
}

/// Set when the future that waits is gone.
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
