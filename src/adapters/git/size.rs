//! How much a commit's tree comes to, before anything walks it: a few objects can name each other a billion times.

use std::collections::HashMap;

use git2::{Oid, Repository};

use super::tree::{ENTRY_LIMIT, TYPE_MASK, TYPE_TREE, folder};
use crate::ports::PortResult;

/// Files and folders below trees; each tree is read once, however often it is named.
#[derive(Default)]
pub(super) struct Sizes {
    known: HashMap<Oid, usize>,
}

/// A tree of which not all folders are counted yet.
struct Open {
    id: Oid,
    entries: usize,
    folders: Vec<Oid>,
}

impl Sizes {
    /// Whether nothing should walk the tree.
    pub(super) fn is_huge(&mut self, repository: &Repository, tree: Oid) -> PortResult<bool> {
        let mut open = vec![Open::read(repository, tree)?];
        while let Some(top) = open.last_mut() {
            if top.entries > ENTRY_LIMIT {
                return Ok(true);
            }
            if let Some(child) = top.folders.pop() {
                match self.known.get(&child) {
                    Some(entries) => top.entries = top.entries.saturating_add(*entries),
                    None => open.push(Open::read(repository, child)?),
                }
                continue;
            }
            let (id, entries) = (top.id, top.entries);
            open.pop();
            self.known.insert(id, entries);
            if let Some(parent) = open.last_mut() {
                parent.entries = parent.entries.saturating_add(entries);
            }
        }
        Ok(false)
    }
}

impl Open {
    fn read(repository: &Repository, id: Oid) -> PortResult<Self> {
        let tree = folder(repository, id, "of a commit")?;
        let folders = tree.iter().filter(|entry| entry.filemode_raw() & TYPE_MASK == TYPE_TREE);
        Ok(Self { id, entries: tree.len(), folders: folders.map(|entry| entry.id()).collect() })
    }
}
