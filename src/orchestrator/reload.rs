//! Settings that change while the daemon runs.

use crate::domain::event::EventSource;
use crate::domain::names::RepoName;
use crate::store::StoreError;

use super::Orchestrator;
use super::house::Settings;

impl Orchestrator {
    /// From now on these settings; what runs goes on with those it began with. `changed` are the repositories that are
    /// new or otherwise configured than before: git is asked what follows for them.
    ///
    /// # Errors
    /// When the database does not take the questions; the settings are in force all the same.
    pub async fn reload(&self, settings: Settings, changed: &[RepoName]) -> Result<(), StoreError> {
        self.shop.resize(settings.limits.builds);
        self.house.replace_settings(settings);
        self.board.publish();
        self.dispatch.places.look_again();
        self.house.renew_walls().await?;
        self.accounts.try_again();
        for repo in changed {
            self.house.store.outbox_retry(Some(repo), self.house.ports.clock.now()).await?;
            self.look(repo, EventSource::Start).await?;
        }
        Ok(())
    }
}
