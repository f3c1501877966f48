//! Questions about a commit's files that need no files: ids by path, and what a build reads.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use git2::{Oid, Repository, Tree};

use super::error::inside;
use super::mirror::is_small;
use crate::domain::images::{BuildInputs, BuildSources, ContextEntry};
use crate::ports::{PortError, PortResult};

/// File types of git modes.
pub(super) const TYPE_MASK: i32 = 0o170_000;
pub(super) const TYPE_TREE: i32 = 0o040_000;
pub(super) const TYPE_LINK: i32 = 0o120_000;
pub(super) const TYPE_SUBMODULE: i32 = 0o160_000;

/// Symbolic links that are followed on the way to one path, as the kernel does it.
const LINK_HOPS: usize = 40;

/// Largest Dockerfile or ignore file, and link, that is read.
const TEXT_LIMIT: usize = 1024 * 1024;

/// More files and folders than any commit needs: a tree can name itself a billion times.
pub(super) const ENTRY_LIMIT: usize = 1_000_000;

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    id: Oid,
    mode: i32,
}

impl Found {
    fn is_tree(self) -> bool {
        self.mode & TYPE_MASK == TYPE_TREE
    }
}

pub(super) fn content_ids(
    repository: &Repository,
    root: &Tree<'_>,
    paths: Vec<PathBuf>,
) -> PortResult<BTreeMap<PathBuf, String>> {
    let mut ids = BTreeMap::new();
    for path in paths {
        if let Some(found) = resolve(repository, root, &path)? {
            let text =
                if found.is_tree() { found.id.to_string() } else { format!("{}-{:o}", found.id, found.mode) };
            ids.insert(path, text);
        }
    }
    Ok(ids)
}

pub(super) fn build_inputs(
    repository: &Repository,
    root: &Tree<'_>,
    sources: &BuildSources,
) -> PortResult<BuildInputs> {
    let mut contexts = BTreeMap::new();
    let main = [(String::new(), sources.context.clone())];
    for (name, folder) in main.into_iter().chain(sources.additional.clone()) {
        let found = resolve(repository, root, Path::new(&folder))?.filter(|found| found.is_tree());
        let found = found.ok_or_else(|| {
            PortError::Permanent(format!("build context {folder:?} is no folder of this commit"))
        })?;
        contexts.insert(name, entries(repository, found.id)?);
    }
    let text = |path: &str| -> PortResult<Option<Vec<u8>>> {
        let found = resolve(repository, root, Path::new(path))?.filter(|found| !found.is_tree());
        found.map(|found| read_text(repository, found.id, path)).transpose()
    };
    let mut inputs = BuildInputs { contexts, ..BuildInputs::default() };
    if let Some(path) = &sources.dockerfile {
        let missing = || PortError::Permanent(format!("Dockerfile {path:?} is not in this commit"));
        inputs.dockerfile = Some(text(path)?.ok_or_else(missing)?);
        inputs.dockerignore = text(&format!("{path}.dockerignore"))?;
    }
    if inputs.dockerignore.is_none() {
        let folder = sources.context.trim_end_matches('/');
        let path =
            if folder.is_empty() { ".dockerignore".to_owned() } else { format!("{folder}/.dockerignore") };
        inputs.dockerignore = text(&path)?;
    }
    Ok(inputs)
}

/// Follows the path and its symbolic links inside the tree; `None` when nothing is there or it leads outside.
fn resolve(repository: &Repository, root: &Tree<'_>, path: &Path) -> PortResult<Option<Found>> {
    let what = || path.display().to_string();
    let Some(mut pending) = parts(path) else { return Ok(None) };
    // The folders from the root to where we are; the last is the present one.
    let mut folders = vec![root.id()];
    let mut hops = 0;
    while let Some(part) = pending.pop_front() {
        if part == b".." {
            folders.pop();
            if folders.is_empty() {
                return Ok(None);
            }
            continue;
        }
        let present = folders.last().copied().unwrap_or_else(|| root.id());
        let tree = folder(repository, present, &what())?;
        let Some(entry) = tree.get_name_bytes(&part) else { return Ok(None) };
        match entry.filemode_raw() & TYPE_MASK {
            TYPE_TREE => folders.push(entry.id()),
            TYPE_LINK => {
                hops += 1;
                let target = read_text(repository, entry.id(), &what())?;
                let Some(target) = parts(Path::new(std::ffi::OsStr::from_bytes(&target))) else {
                    return Ok(None);
                };
                if hops > LINK_HOPS {
                    return Ok(None);
                }
                pending = target.into_iter().chain(pending).collect();
            }
            _ if pending.is_empty() => {
                return Ok(Some(Found { id: entry.id(), mode: entry.filemode() }));
            }
            // A file is no folder.
            _ => return Ok(None),
        }
    }
    Ok(folders.last().map(|id| Found { id: *id, mode: TYPE_TREE }))
}

/// The names of a relative path; `None` for an absolute one.
fn parts(path: &Path) -> Option<VecDeque<Vec<u8>>> {
    let mut parts = VecDeque::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => parts.push_back(b"..".to_vec()),
            Component::Normal(name) => parts.push_back(name.as_bytes().to_vec()),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts)
}

/// All files and links below a tree, sorted by path.
fn entries(repository: &Repository, tree: Oid) -> PortResult<Vec<ContextEntry>> {
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), tree)];
    let mut seen = 0;
    while let Some((prefix, id)) = folders.pop() {
        let tree = folder(repository, id, &prefix)?;
        for entry in &tree {
            seen += 1;
            if seen > ENTRY_LIMIT {
                return Err(PortError::Permanent(format!(
                    "the build context has more than {ENTRY_LIMIT} files and folders"
                )));
            }
            let path = format!("{prefix}{}", readable(entry.name_bytes()));
            match entry.filemode_raw() & TYPE_MASK {
                TYPE_TREE => folders.push((format!("{path}/"), entry.id())),
                // An empty folder in the checkout, whatever it points to.
                TYPE_SUBMODULE => found.push(ContextEntry { path, mode: TYPE_SUBMODULE, id: String::new() }),
                _ => found.push(ContextEntry { path, mode: entry.filemode(), id: entry.id().to_string() }),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A folder of a commit, unless it is huge. `what` says which.
pub(super) fn folder<'r>(repository: &'r Repository, id: Oid, what: &str) -> PortResult<Tree<'r>> {
    is_small(repository, id, &format!("folder {what:?}"))?;
    repository.find_tree(id).map_err(|error| inside(what, &error))
}

/// Names that are no UTF-8 keep their bytes visible.
fn readable(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

fn read_text(repository: &Repository, id: Oid, path: &str) -> PortResult<Vec<u8>> {
    let odb = repository.odb().map_err(|error| inside(path, &error))?;
    let (size, _) = odb.read_header(id).map_err(|error| inside(path, &error))?;
    if size > TEXT_LIMIT {
        return Err(PortError::Permanent(format!("{path}: is larger than {TEXT_LIMIT} bytes")));
    }
    repository.find_blob(id).map(|blob| blob.content().to_vec()).map_err(|error| inside(path, &error))
}
