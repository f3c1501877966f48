//! What the tests of the store share.

use tempfile::TempDir;

use super::{NewEnvironment, Store};
use crate::domain::environment::Intent;
use crate::domain::names::{BranchName, CommitSha, RepoName};
use crate::domain::time::Timestamp;

/// A new database in a folder that lives as long as the first part.
pub(super) async fn home() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("drey.db")).await.unwrap();
    (folder, store)
}

pub(super) fn repo() -> RepoName {
    RepoName::parse("shop").unwrap()
}

pub(super) fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

pub(super) fn commit(digit: char) -> CommitSha {
    CommitSha::parse(&digit.to_string().repeat(40)).unwrap()
}

/// A moment so many milliseconds after the start of time.
pub(super) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn run() -> Intent {
    Intent::Run { commit: None, rebuild: false, pull: false }
}

pub(super) fn new_environment(name: &str, millis: i64) -> NewEnvironment {
    NewEnvironment {
        repo: repo(),
        branch: branch(name),
        intent: run(),
        commit: None,
        restored_from: None,
        now: moment(millis),
    }
}
