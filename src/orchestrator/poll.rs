//! Asks the remotes for their branches now and then: what nobody told, because a delivery was lost, is told here.
//!
//! An idle repository costs one `ls-remote`, two questions to the database and no row in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::event::{EventKind, EventSource};
use crate::domain::names::{BranchName, CommitSha, RepoName};
use crate::domain::poll::{self, Registry};
use crate::store::StoreError;

use super::Orchestrator;
use super::house::Repository;

/// How often it is looked whether the configuration has other repositories, or other times.
const ROUND: Duration = Duration::from_secs(5);

impl Orchestrator {
    pub(super) async fn poll_remotes(self) {
        let draining = self.house.supervisor.draining();
        let remotes = &self.house.remotes;
        while !draining.is_cancelled() {
            self.ask_those_due();
            tokio::select! {
                () = draining.cancelled() => return,
                () = remotes.nudged() => {}
                () = tokio::time::sleep(remotes.pause(ROUND)) => {}
            }
        }
    }

    /// One after the other where they are on one host; several hosts side by side.
    fn ask_those_due(&self) {
        let settings = self.house.settings();
        let repositories =
            settings.repositories.iter().map(|(repo, it)| (repo, it.remote.url.as_str(), it.poll_every));
        for (place, repos) in self.house.remotes.due(repositories) {
            let (this, house) = (self.clone(), Arc::clone(&self.house));
            self.house.supervisor.spawn("poll", async move {
                let draining = house.supervisor.draining();
                let _busy = house.remotes.occupied(place);
                for repo in &repos {
                    tokio::select! {
                        () = draining.cancelled() => return,
                        () = this.poll(repo) => {}
                    }
                }
            });
        }
    }

    async fn poll(&self, repo: &RepoName) {
        let Ok(_place) = self.house.remotes.places.acquire().await else { return };
        let settings = self.house.settings();
        let Some(repository) = settings.repositories.get(repo) else { return };
        let was_away = self.house.remotes.is_away(repo).is_some();
        let Ok(tips) = self.house.branches(repository).await else { return };
        let told = async {
            if was_away {
                self.take_up_pending().await?;
            }
            self.tell_news(repo, repository, &tips).await
        };
        if let Err(error) = told.await {
            tracing::error!(%error, %repo, "the branches cannot be compared with what is known");
        }
    }

    async fn tell_news(
        &self,
        repo: &RepoName,
        repository: &Repository,
        tips: &BTreeMap<BranchName, CommitSha>,
    ) -> Result<(), StoreError> {
        let (store, remotes) = (&self.house.store, &self.house.remotes);
        let mut live = store.environments(false).await?;
        live.retain(|environment| environment.repo == *repo);
        let (ended, judged) = (store.last_lives(repo).await?, remotes.judged_main(repo));
        let registry =
            Registry { live: &live, ended: &ended, main: &repository.main, judged_main: judged.as_ref() };
        let pulls = store.pulls(repo).await?;
        let wants = |branch: &BranchName| {
            let pulls = pulls.get(branch).map(Vec::as_slice).unwrap_or_default();
            repository.wants(branch, pulls).is_ok()
        };
        let mut news = Vec::new();
        for it in poll::news(tips, registry, wants) {
            let is_known = match it.pushed() {
                Some((branch, tip)) => {
                    let environment = live.iter().find(|environment| environment.branch == *branch);
                    self.is_known(repo, branch, tip, environment).await?
                }
                None => false,
            };
            if !is_known {
                news.push(it);
            }
        }
        if !news.is_empty() && self.is_look_pending(repo).await? {
            return Ok(());
        }
        let count = news.len();
        if remotes.is_worth_telling(repo, news, repository.poll_every) {
            tracing::info!(%repo, news = count, "the remote has what nobody told");
            self.look(repo, EventSource::Poll).await?;
        }
        Ok(())
    }

    async fn is_look_pending(&self, repo: &RepoName) -> Result<bool, StoreError> {
        let pending = self.house.store.pending_events().await?;
        Ok(pending.iter().any(|event| event.repo == *repo && matches!(event.kind, EventKind::Look)))
    }
}
