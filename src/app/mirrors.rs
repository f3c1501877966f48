//! Mirrors and refs that nothing needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::adapters::git::GitAdapter;
use crate::domain::names::{BranchName, RepoName};
use crate::orchestrator::House;

/// Removes what nothing needs, again and again.
pub(super) fn spawn(house: &Arc<House>, git: &Arc<GitAdapter>) {
    let (this, git) = (house.clone(), git.clone());
    house.supervisor.spawn("old mirrors", async move {
        let draining = this.supervisor.draining();
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(this.settings().collect_every) => {}
            }
            if let Err(error) = collect(&this, &git).await {
                tracing::warn!(%error, "old mirrors cannot be removed now");
            }
        }
    });
}

/// # Errors
/// When database or disk do not answer: the next round comes back to it.
async fn collect(house: &House, git: &GitAdapter) -> anyhow::Result<()> {
    let settings = house.settings();
    let live = house.store.environments(false).await?;
    for (repo, repository) in &settings.repositories {
        let mut needed: BTreeSet<BranchName> =
            live.iter().filter(|it| it.repo == *repo).map(|it| it.branch.clone()).collect();
        needed.insert(repository.main.clone());
        let count = git.forget_others(repo, &needed).await?;
        if count > 0 {
            tracing::info!(%repo, count, "refs of branches without an environment are removed from the mirror");
        }
    }
    let Some(keep) = settings.leftovers.mirrors_keep else { return Ok(()) };
    let mut needed: BTreeSet<RepoName> = settings.repositories.keys().cloned().collect();
    needed.extend(live.into_iter().map(|it| it.repo));
    // A restore needs the commit that the mirror keeps.
    needed.extend(house.store.kept_archives().await?.into_iter().map(|it| it.repo));
    let before = house.ports.clock.now().minus(keep);
    for (repo, used_at) in git.mirrors().await? {
        if used_at < before && !needed.contains(&repo) {
            git.remove_mirror(&repo).await?;
            tracing::info!(%repo, used_at = %used_at, "the mirror of a repository that is not configured any more is removed");
        }
    }
    Ok(())
}
