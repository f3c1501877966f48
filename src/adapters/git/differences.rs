//! Paths that two trees have differently, as many as are asked for: where they are the same nothing is read.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, Repository};

use super::tree::{TYPE_MASK, TYPE_TREE, folder};
use crate::ports::{CHANGED_PATHS_AT_MOST, ChangedPaths, PortResult};

/// Folders that are looked into: what has none but folders has no paths to stop at.
const FOLDERS_AT_MOST: usize = 100_000;

/// What lies at a name in each of the two: id and mode.
type Sides = [Option<(Oid, i32)>; 2];

pub(super) fn paths(repository: &Repository, from: Option<Oid>, to: Oid) -> PortResult<ChangedPaths> {
    let mut paths = BTreeSet::new();
    let mut folders = vec![(String::new(), [from, Some(to)])];
    let mut looked_into = 0;
    while let Some((prefix, trees)) = folders.pop() {
        looked_into += 1;
        for (name, sides) in names(repository, &prefix, trees)? {
            if sides[0] == sides[1] {
                continue;
            }
            let path = format!("{prefix}{}", String::from_utf8_lossy(&name));
            let trees = sides.map(|side| side.filter(|side| is_tree(*side)).map(|(id, _)| id));
            if trees.iter().any(Option::is_some) {
                folders.push((format!("{path}/"), trees));
            }
            if sides.into_iter().flatten().any(|side| !is_tree(side)) {
                paths.insert(path);
            }
        }
        if paths.len() > CHANGED_PATHS_AT_MOST || looked_into == FOLDERS_AT_MOST {
            let paths = paths.into_iter().take(CHANGED_PATHS_AT_MOST).collect();
            return Ok(ChangedPaths { paths, is_cut: true });
        }
    }
    Ok(ChangedPaths { paths: paths.into_iter().collect(), is_cut: false })
}

fn names(
    repository: &Repository,
    prefix: &str,
    trees: [Option<Oid>; 2],
) -> PortResult<BTreeMap<Vec<u8>, Sides>> {
    let mut names: BTreeMap<Vec<u8>, Sides> = BTreeMap::new();
    for (side, tree) in trees.into_iter().enumerate() {
        let Some(tree) = tree else { continue };
        for entry in &folder(repository, tree, prefix)? {
            let sides = names.entry(entry.name_bytes().to_vec()).or_default();
            if let Some(place) = sides.get_mut(side) {
                *place = Some((entry.id(), entry.filemode_raw()));
            }
        }
    }
    Ok(names)
}

fn is_tree((_, mode): (Oid, i32)) -> bool {
    mode & TYPE_MASK == TYPE_TREE
}
