//! Merges one commit into another without a working tree: a commit that no ref leads to.
//!
//! Nothing keeps it but its age: what is tidied away has not been led to for two weeks, and each deployment makes its merge
//! anew, which makes the same objects young again.

use std::collections::BTreeSet;

use git2::{Commit, ErrorClass, Index, MergeOptions, Repository, Signature, Time};

use super::error::inside;
use super::merged::is_reachable;
use super::sha;
use super::size::Sizes;
use super::tree::ENTRY_LIMIT;
use crate::ports::{Merged, PortError, PortResult};

/// Who makes such a commit: always the same, so that the same merge has the same id.
const NAME: &str = "drey";
const ADDRESS: &str = "drey@localhost";

pub(super) fn merge(repository: &Repository, head: &Commit<'_>, target: &Commit<'_>) -> PortResult<Merged> {
    if is_reachable(repository, target.id(), head.id())? {
        return sha(head.id()).map(Merged::Into);
    }
    if is_reachable(repository, head.id(), target.id())? {
        return sha(target.id()).map(Merged::Into);
    }
    let mut sizes = Sizes::default();
    for commit in [head, target] {
        if sizes.is_huge(repository, commit.tree_id())? {
            let id = commit.id();
            return Err(PortError::Permanent(format!(
                "commit {id} has more than {ENTRY_LIMIT} files and folders: drey merges no such commit"
            )));
        }
    }
    join(repository, head, target)
}

fn join(repository: &Repository, head: &Commit<'_>, target: &Commit<'_>) -> PortResult<Merged> {
    let failed = |error: git2::Error| {
        // A path or mode that no index takes.
        if error.class() == ErrorClass::Index {
            return PortError::Permanent(format!("git cannot merge this: {}", error.message()));
        }
        inside("cannot merge", &error)
    };
    let mut options = MergeOptions::new();
    options.find_renames(true);
    let mut index = repository.merge_commits(target, head, Some(&options)).map_err(failed)?;
    if index.has_conflicts() {
        return conflicts(&index).map(Merged::Conflict).map_err(failed);
    }
    let made = index.write_tree_to(repository).and_then(|tree| {
        let tree = repository.find_tree(tree)?;
        let author = Signature::new(NAME, ADDRESS, &newer(head, target))?;
        let message = format!("Merge {} into {}\n", head.id(), target.id());
        repository.commit(None, &author, &author, &message, &tree, &[target, head])
    });
    sha(made.map_err(failed)?).map(Merged::Into)
}

fn conflicts(index: &Index) -> Result<Vec<String>, git2::Error> {
    let mut paths = BTreeSet::new();
    for conflict in index.conflicts()? {
        let conflict = conflict?;
        let sides = [conflict.our, conflict.their, conflict.ancestor];
        paths
            .extend(sides.into_iter().flatten().map(|side| String::from_utf8_lossy(&side.path).into_owned()));
    }
    Ok(paths.into_iter().collect())
}

fn newer(one: &Commit<'_>, other: &Commit<'_>) -> Time {
    Time::new(one.time().seconds().max(other.time().seconds()), 0)
}
