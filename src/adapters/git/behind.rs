//! How far a commit is behind a branch. Counting walks through history, so what was counted is remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use git2::{Oid, Repository};

use super::error::inside;
use super::{GitAdapter, mirror};
use crate::domain::names::{BranchName, CommitSha, RepoName};
use crate::ports::{Ancestry, PortResult, meters};

/// Pairs that are remembered; at more of them all are counted anew.
const REMEMBERED: usize = 1000;

/// Commit and tip → commits between them. Ids name the same history in every repository.
pub(super) type Distances = Arc<Mutex<HashMap<(Oid, Oid), u64>>>;

#[async_trait]
impl Ancestry for GitAdapter {
    async fn behind(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        target: &BranchName,
    ) -> PortResult<Option<u64>> {
        let (commit, reference, known) = (commit.clone(), mirror::reference(target), self.distances.clone());
        let done = self
            .ask(repo, move |repository| {
                let Ok(tip) = repository.refname_to_id(&reference) else { return Ok(None) };
                let commit = mirror::commit(repository, &commit)?.id();
                distance(repository, (commit, tip), &known).map(Some)
            })
            .await;
        meters::git("behind", done)
    }
}

fn distance(repository: &Repository, pair: (Oid, Oid), known: &Distances) -> PortResult<u64> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(counted) = known.get(&pair) {
        return Ok(*counted);
    }
    let counted = repository.graph_ahead_behind(pair.0, pair.1);
    let (_ahead, behind) = counted.map_err(|error| inside("cannot count commits", &error))?;
    let behind = u64::try_from(behind).unwrap_or(u64::MAX);
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(pair, behind);
    Ok(behind)
}
