//! Whether a branch is in main: as it is, or as changes.
//!
//! Nothing is written into the mirror: what a merge makes on the way stays in memory.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{
    Commit, Diff, DiffDelta, ErrorClass, ErrorCode, Index, MergeOptions, Oid, Patch, Repository, Tree,
};
use sha2::{Digest, Sha256};

use super::error::inside;
use super::size::Sizes;
use crate::ports::PortResult;

/// Most commits that are compared one by one, on either side.
const COMPARED_COMMITS: usize = 1_000;

/// Priority of the object store in memory: before the files.
const MEMORY_FIRST: i32 = 1_000;

pub(super) fn is_merged(repository: &Repository, tip: &Commit<'_>, main: &Commit<'_>) -> PortResult<bool> {
    if is_reachable(repository, tip.id(), main.id())? {
        return Ok(true);
    }
    // What nobody can walk nobody has merged.
    if Sizes::default().is_huge(repository, tip.tree_id())? {
        return Ok(false);
    }
    judge(repository, tip, main).map_err(|error| inside("cannot compare with main", &error))
}

/// Whether `commit` is `main` or one of its ancestors.
pub(super) fn is_reachable(repository: &Repository, commit: Oid, main: Oid) -> PortResult<bool> {
    if commit == main {
        return Ok(true);
    }
    repository.graph_descendant_of(main, commit).map_err(|error| inside("cannot compare with main", &error))
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
    match try_merge(repository, tip, main)? {
        Attempt::ChangesNothing => Ok(true),
        // Main does not have it, or has taken it back.
        Attempt::ChangesMain => Ok(false),
        Attempt::Conflict => has_equal_patches(repository, &base, tip, main),
    }
}

/// What merging the branch into main would do.
enum Attempt {
    ChangesNothing,
    ChangesMain,
    Conflict,
}

fn try_merge(repository: &Repository, tip: &Commit<'_>, main: &Commit<'_>) -> Result<Attempt, git2::Error> {
    let odb = repository.odb()?;
    let _memory = odb.add_new_mempack_backend(MEMORY_FIRST)?;
    let mut options = MergeOptions::new();
    options.find_renames(true);
    let merged = match repository.merge_commits(main, tip, Some(&options)) {
        Ok(merged) => merged,
        // A path or mode that no index takes: one odd commit must not keep the other branches from being judged.
        Err(error) if error.class() == ErrorClass::Index => return Ok(Attempt::Conflict),
        Err(error) => return Err(error),
    };
    if merged.has_conflicts() {
        return Ok(Attempt::Conflict);
    }
    let mut present = Index::new()?;
    present.read_tree(&main.tree()?)?;
    let is_same = merged.len() == present.len()
        && merged.iter().zip(present.iter()).all(|(one, other)| {
            (one.id, rounded(one.mode), one.path) == (other.id, rounded(other.mode), other.path)
        });
    Ok(if is_same { Attempt::ChangesNothing } else { Attempt::ChangesMain })
}

/// The mode as git writes it today: old tools kept more of a file's mode, and a merge rounds some of them.
fn rounded(mode: u32) -> u32 {
    let is_file = mode & 0o170_000 == 0o100_000;
    match (is_file, mode & 0o100 != 0) {
        (true, true) => 0o100_755,
        (true, false) => 0o100_644,
        (false, _) => mode,
    }
}

/// Main has gone on in the same lines, so that merging tells nothing: main then has a commit with each change of
/// the branch, or one with all of them.
fn has_equal_patches(
    repository: &Repository,
    base: &Commit<'_>,
    tip: &Commit<'_>,
    main: &Commit<'_>,
) -> Result<bool, git2::Error> {
    let whole = Change::between(repository, base.tree()?, tip.tree()?)?;
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
    changes.retain(|change| change.diff.deltas().len() > 0);
    Ok(Some(changes))
}

/// Commits of `to` that `from` has not; `None` when they are too many, or one of them too large.
fn commits_between<'r>(
    repository: &'r Repository,
    from: Oid,
    to: Oid,
) -> Result<Option<Vec<Commit<'r>>>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.push(to)?;
    walk.hide(from)?;
    let (mut found, mut sizes) = (Vec::new(), Sizes::default());
    for id in walk {
        if found.len() == COMPARED_COMMITS {
            return Ok(None);
        }
        let commit = repository.find_commit(id?)?;
        // What cannot be read is compared with nothing either.
        if sizes.is_huge(repository, commit.tree_id()).unwrap_or(true) {
            return Ok(None);
        }
        found.push(commit);
    }
    Ok(Some(found))
}

/// The difference of two trees.
struct Change<'r> {
    diff: Diff<'r>,
    old: Tree<'r>,
    new: Tree<'r>,
}

impl<'r> Change<'r> {
    /// `commit` has exactly one parent.
    fn of(repository: &'r Repository, commit: &Commit<'r>) -> Result<Self, git2::Error> {
        Self::between(repository, commit.parent(0)?.tree()?, commit.tree()?)
    }

    fn between(repository: &'r Repository, old: Tree<'r>, new: Tree<'r>) -> Result<Self, git2::Error> {
        let diff = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
        Ok(Self { diff, old, new })
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        let path = |delta: DiffDelta<'_>| delta.new_file().path_bytes().map(<[u8]>::to_vec);
        self.diff.deltas().filter_map(path).collect()
    }

    /// The same for the same change, wherever in its files it happens; any other byte makes another. Git's own
    /// patch id will not do: it knows nothing of white space and of what binary files hold.
    fn patch(&self) -> Result<Key, git2::Error> {
        let mut key = Sha256::new();
        for (position, delta) in self.diff.deltas().enumerate() {
            let path = delta.new_file().path_bytes().unwrap_or_default();
            field(&mut key, path);
            field(&mut key, &mode(&self.old, path)?.to_be_bytes());
            field(&mut key, &mode(&self.new, path)?.to_be_bytes());
            let patch = Patch::from_diff(&self.diff, position)?.filter(|patch| patch.num_hunks() > 0);
            let Some(patch) = patch else {
                // Binary, empty, or another mode only.
                field(&mut key, delta.old_file().id().as_bytes());
                field(&mut key, delta.new_file().id().as_bytes());
                continue;
            };
            field(&mut key, &patch.num_hunks().to_be_bytes());
            for hunk in 0..patch.num_hunks() {
                let lines = patch.num_lines_in_hunk(hunk)?;
                field(&mut key, &lines.to_be_bytes());
                for line in 0..lines {
                    let line = patch.line_in_hunk(hunk, line)?;
                    field(&mut key, &u32::from(line.origin()).to_be_bytes());
                    field(&mut key, line.content());
                }
            }
        }
        Ok(key.finalize().into())
    }
}

/// Names a change.
type Key = [u8; 32];

/// Mode of what lies at the path, 0 where nothing does. From the tree, since git2 panics at modes that git reads but
/// does not write.
fn mode(tree: &Tree<'_>, path: &[u8]) -> Result<i32, git2::Error> {
    match tree.get_path(Path::new(OsStr::from_bytes(path))) {
        Ok(entry) => Ok(entry.filemode()),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// With its length in front, so that no two rows of fields look alike.
fn field(key: &mut Sha256, bytes: &[u8]) {
    key.update(bytes.len().to_be_bytes());
    key.update(bytes);
}
