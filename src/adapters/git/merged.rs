//! Whether a branch is in main: as it is, or as changes.
//!
//! Nothing is written into the mirror: what a merge makes on the way stays in memory.

use std::collections::BTreeSet;

use git2::{Commit, Diff, DiffDelta, ErrorCode, MergeOptions, Oid, Repository, Tree};

use super::error::local;
use crate::ports::PortResult;

/// Most commits that are compared one by one, on either side.
const COMPARED_COMMITS: usize = 1_000;

/// Priority of the object store in memory: before the files.
const MEMORY_FIRST: i32 = 1_000;

pub(super) fn is_merged(repository: &Repository, tip: &Commit<'_>, main: &Commit<'_>) -> PortResult<bool> {
    if is_reachable(repository, tip.id(), main.id())? {
        return Ok(true);
    }
    judge(repository, tip, main).map_err(|error| local("cannot compare with main", &error))
}

/// Whether `commit` is `main` or one of its ancestors.
pub(super) fn is_reachable(repository: &Repository, commit: Oid, main: Oid) -> PortResult<bool> {
    if commit == main {
        return Ok(true);
    }
    repository.graph_descendant_of(main, commit).map_err(|error| local("cannot compare with main", &error))
}

fn judge(repository: &Repository, tip: &Commit<'_>, main: &Commit<'_>) -> Result<bool, git2::Error> {
    let base = match repository.merge_base(tip.id(), main.id()) {
        Ok(base) => repository.find_commit(base)?,
        // Unrelated histories.
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if base.tree_id() == tip.tree_id() {
        // No difference of its own: nothing could have been taken over.
        return Ok(false);
    }
    Ok(merge_changes_nothing(repository, tip, main)? || has_equal_patches(repository, &base, tip, main)?)
}

fn merge_changes_nothing(
    repository: &Repository,
    tip: &Commit<'_>,
    main: &Commit<'_>,
) -> Result<bool, git2::Error> {
    let odb = repository.odb()?;
    let _memory = odb.add_new_mempack_backend(MEMORY_FIRST)?;
    let mut options = MergeOptions::new();
    options.find_renames(true);
    let merged = repository.merge_commits(main, tip, Some(&options))?;
    if merged.has_conflicts() {
        return Ok(false);
    }
    let difference = repository.diff_tree_to_index(Some(&main.tree()?), Some(&merged), None)?;
    Ok(difference.deltas().len() == 0)
}

/// Main has gone on in the same files, so that merging tells nothing: main then has a commit with each change of
/// the branch, or one with all of them.
fn has_equal_patches(
    repository: &Repository,
    base: &Commit<'_>,
    tip: &Commit<'_>,
    main: &Commit<'_>,
) -> Result<bool, git2::Error> {
    let whole = Change::between(repository, &base.tree()?, &tip.tree()?)?;
    let own = own_changes(repository, tip, main)?.unwrap_or_default();
    let paths: BTreeSet<_> = own.iter().chain([&whole]).map(Change::paths).collect();
    let Some(in_main) = commits_between(repository, base.id(), main.id())? else { return Ok(false) };
    let mut known = BTreeSet::new();
    for commit in in_main.iter().filter(|commit| commit.parent_count() == 1) {
        let change = Change::of(repository, commit)?;
        // Patches are dear, lists of paths are cheap: most commits of main touch something else.
        if paths.contains(&change.paths()) {
            known.insert(change.patch()?);
        }
    }
    if known.contains(&whole.patch()?) {
        return Ok(true);
    }
    for change in &own {
        if !known.contains(&change.patch()?) {
            return Ok(false);
        }
    }
    Ok(!own.is_empty())
}

/// The branch's changes commit by commit, without the empty ones; `None` where they are too many, or where a
/// merge or a root is among them: that is no single patch.
fn own_changes<'r>(
    repository: &'r Repository,
    tip: &Commit<'_>,
    main: &Commit<'_>,
) -> Result<Option<Vec<Change<'r>>>, git2::Error> {
    let Some(commits) = commits_between(repository, main.id(), tip.id())? else { return Ok(None) };
    if commits.iter().any(|commit| commit.parent_count() != 1) {
        return Ok(None);
    }
    let changes = commits.iter().map(|commit| Change::of(repository, commit));
    let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
    changes.retain(|change| change.0.deltas().len() > 0);
    Ok(Some(changes))
}

/// Commits of `to` that `from` has not; `None` when they are too many.
fn commits_between<'r>(
    repository: &'r Repository,
    from: Oid,
    to: Oid,
) -> Result<Option<Vec<Commit<'r>>>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.push(to)?;
    walk.hide(from)?;
    let mut found = Vec::new();
    for id in walk {
        if found.len() == COMPARED_COMMITS {
            return Ok(None);
        }
        found.push(repository.find_commit(id?)?);
    }
    Ok(Some(found))
}

/// The difference of two trees.
struct Change<'r>(Diff<'r>);

impl<'r> Change<'r> {
    /// `commit` has exactly one parent.
    fn of(repository: &'r Repository, commit: &Commit<'_>) -> Result<Self, git2::Error> {
        Self::between(repository, &commit.parent(0)?.tree()?, &commit.tree()?)
    }

    fn between(repository: &'r Repository, old: &Tree<'_>, new: &Tree<'_>) -> Result<Self, git2::Error> {
        repository.diff_tree_to_tree(Some(old), Some(new), None).map(Self)
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        let path = |delta: DiffDelta<'_>| delta.new_file().path_bytes().map(<[u8]>::to_vec);
        self.0.deltas().filter_map(path).collect()
    }

    /// The same for the same change, wherever in its files it happens.
    fn patch(&self) -> Result<Oid, git2::Error> {
        self.0.patchid(None)
    }
}
