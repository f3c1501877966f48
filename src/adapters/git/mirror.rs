//! The bare mirror of a repository: where it lies, how it is made, opened and asked for commits.
//!
//! A branch is kept under a ref that is made of a hash: names that exclude each other (`a` and `a/b`) or are too
//! long for a file stay apart, and no raw name becomes a path.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use git2::{Commit, ErrorCode, Oid, Repository, RepositoryInitOptions, Tree};
use sha2::{Digest, Sha256};

use super::error::{file, inside, local};
use super::sha;
use crate::domain::names::{BranchName, CommitSha, RepoName};
use crate::ports::{PortError, PortResult};

/// What no branch is.
const HEAD: &str = "ref: refs/heads/main\n";

/// Largest commit, and list of one folder's files.
const OBJECT_LIMIT: usize = 32 * 1024 * 1024;

/// Only the daemon's user may read a mirror: repositories may be private.
const PRIVATE_DIRECTORY: u32 = 0o700;

pub(super) fn path(mirrors: &Path, repo: &RepoName) -> PathBuf {
    mirrors.join(format!("{repo}.git"))
}

/// The git command's only configuration file for this repository.
pub(super) fn config_path(mirrors: &Path, repo: &RepoName) -> PathBuf {
    mirrors.join(format!("{repo}.gitconfig"))
}

/// The mirror's ref for a branch of the remote.
pub(super) fn reference(branch: &BranchName) -> String {
    let digest = hex::encode(Sha256::digest(branch.full_ref().as_bytes()));
    format!("refs/branches/{digest}")
}

/// Makes the mirror and writes its configuration, where they are not there yet or differ. One at a time.
pub(super) fn prepare(mirrors: &Path, repo: &RepoName, config: &str) -> PortResult<()> {
    let (mirror, config_path) = (path(mirrors, repo), config_path(mirrors, repo));
    if fs::read(&config_path).is_ok_and(|there| there == config.as_bytes()) && mirror.join("HEAD").exists() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIRECTORY)
        .create(mirrors)
        .map_err(|error| file("cannot make", mirrors, &error))?;
    if mirror.join("objects").is_dir() && mirror.join("refs").is_dir() {
        // Somebody lost the one file that says that it is a repository, or it was never lost.
        if !mirror.join("HEAD").exists() {
            fs::write(mirror.join("HEAD"), HEAD).map_err(|error| file("cannot write", &mirror, &error))?;
        }
    } else if !mirror.join("HEAD").exists() {
        initialise(&mirror)?;
    }
    write_config(&config_path, config).map_err(|error| file("cannot write", &config_path, &error))
}

/// Whole or not at all: made beside its place, then renamed.
pub(super) fn initialise(mirror: &Path) -> PortResult<()> {
    let new = mirror.with_extension("git.new");
    for stale in [&new, &mirror.to_owned()] {
        match fs::remove_dir_all(stale) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(file("cannot remove", stale, &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let mut options = RepositoryInitOptions::new();
    options.bare(true).no_reinit(true).external_template(false);
    Repository::init_opts(&new, &options).map_err(|error| local("cannot make the mirror", &error))?;
    fs::rename(&new, mirror).map_err(|error| file("cannot rename to", mirror, &error))
}

fn write_config(path: &Path, config: &str) -> std::io::Result<()> {
    let new = path.with_extension("gitconfig.new");
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(config.as_bytes())?;
    fs::rename(&new, path)
}

/// Removes packs and objects that were being received or written when their git command was killed: git itself would keep
/// them for weeks. Under the lock: no other of ours runs.
pub(super) fn sweep(mirror: &Path) {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries(&mirror.join("objects")).map(|entry| entry.path());
    for entry in folders.flat_map(|folder| entries(&folder)) {
        let name = entry.file_name();
        if [b"tmp_", b".tmp"].iter().any(|begin| name.as_encoded_bytes().starts_with(*begin)) {
            // What cannot be removed now is met again.
            fs::remove_file(entry.path()).unwrap_or_default();
        }
    }
}

/// Removes what a git command left locked that was killed. Under the lock: no other of ours runs.
pub(super) fn unlock(mirror: &Path) {
    let mut folders = vec![mirror.join("refs")];
    let files =
        |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = files(mirror).collect();
    while let Some(folder) = folders.pop() {
        for path in files(&folder) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    for stale in
        found.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "lock"))
    {
        tracing::warn!(git.lock = %stale.display(), "removing the lock of a git command that was killed");
        fs::remove_file(&stale).unwrap_or_default();
    }
}

pub(super) fn open(mirror: &Path) -> PortResult<Repository> {
    Repository::open_bare(mirror).map_err(|error| local(&mirror.display().to_string(), &error))
}

/// Where the branch was at the last fetch.
pub(super) fn tip(repository: &Repository, branch: &BranchName) -> PortResult<CommitSha> {
    let what = format!("branch {branch}");
    let commit = repository
        .find_reference(&reference(branch))
        .and_then(|reference| reference.peel_to_commit())
        .map_err(|error| local(&what, &error))?;
    sha(commit.id())
}

/// Drops the ref of a branch; gone already is success.
pub(super) fn forget(repository: &Repository, branch: &BranchName) -> PortResult<()> {
    let deleted = repository.find_reference(&reference(branch)).and_then(|mut reference| reference.delete());
    match deleted {
        Err(error) if error.code() != ErrorCode::NotFound => Err(local(&format!("branch {branch}"), &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn commit<'r>(repository: &'r Repository, commit: &CommitSha) -> PortResult<Commit<'r>> {
    if commit.as_str().len() != 40 {
        return Err(PortError::Permanent(SHA256_REPOSITORY.to_owned()));
    }
    let what = format!("commit {commit}");
    let id = Oid::from_str(commit.as_str()).map_err(|error| local(&what, &error))?;
    is_small(repository, id, &what)?;
    repository.find_commit(id).map_err(|error| local(&what, &error))
}

/// Commits and folders are read whole: a huge one is refused before it is in memory.
pub(super) fn is_small(repository: &Repository, id: Oid, what: &str) -> PortResult<()> {
    let size = repository.odb().and_then(|odb| odb.read_header(id)).map_err(|error| local(what, &error))?.0;
    if size > OBJECT_LIMIT {
        return Err(PortError::Permanent(format!(
            "{what} is an object of {size} bytes, and drey reads {OBJECT_LIMIT} at most: no folder and no commit needs so \
             much, push the branch without it"
        )));
    }
    Ok(())
}

pub(super) fn tree<'r>(repository: &'r Repository, sha: &CommitSha) -> PortResult<Tree<'r>> {
    commit(repository, sha)?.tree().map_err(|error| inside(&format!("tree of commit {sha}"), &error))
}

/// What is said of a repository that libgit2 cannot read.
pub(super) const SHA256_REPOSITORY: &str =
    "the repository uses SHA-256 object ids, which drey cannot read: serve one with SHA-1 ids";
