//! Sends what the forges should say: to each account one thing after the other, with back-off, never in anybody's way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::names::RepoName;
use crate::domain::report::{DENIED_PAUSE, LONGEST_LIMIT, Marker, Report, SHORTEST_LIMIT, retry_in};
use crate::domain::time::Timestamp;
use crate::ports::{ForgeApi, ForgeError, ForgeResult, Until, meters};
use crate::store::{OutboxRow, StoreError};

use super::Orchestrator;
use super::accounts::Accounts;
use super::chance::chance;

/// How often it is looked for what is due.
const DUE_EVERY: Duration = Duration::from_millis(500);

/// The projects that are told, by repository.
type Forges = BTreeMap<RepoName, Arc<dyn ForgeApi>>;

/// What follows for the account from one thing that was sent.
#[derive(PartialEq, Eq)]
enum Next {
    GoesOn,
    Rests,
}

impl Orchestrator {
    /// Looks for what is due, and gives each account a sender of its own.
    pub(super) async fn send_reports(self) {
        let draining = self.house.supervisor.draining();
        loop {
            if let Err(error) = self.send_what_is_due().await {
                self.house.room.complain(&error);
            }
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(DUE_EVERY) => {}
            }
        }
    }

    fn forges(&self) -> Forges {
        let settings = self.house.settings();
        let told = settings.repositories.iter();
        told.filter_map(|(repo, it)| Some((repo.clone(), it.forge.clone()?))).collect()
    }

    async fn send_what_is_due(&self) -> Result<(), StoreError> {
        let forges = self.forges();
        if forges.is_empty() {
            return Ok(());
        }
        let now = self.house.ports.clock.now();
        for row in self.house.store.outbox_due(now).await? {
            let Some(account) = forges.get(&row.repo).map(|forge| forge.account().to_owned()) else {
                continue;
            };
            if self.accounts.take(&account, now) {
                let (this, held) = (self.clone(), Held { accounts: self.accounts.clone(), account });
                self.house.supervisor.spawn("report", async move { this.send_to(&held).await });
            }
        }
        Ok(())
    }

    /// Everything that is due at one account.
    async fn send_to(&self, held: &Held) {
        let draining = self.house.supervisor.draining();
        loop {
            let sent = tokio::select! {
                sent = self.send_next(&held.account) => sent,
                // What is cut here is sent once more by the next life.
                () = draining.cancelled() => return,
            };
            match sent {
                Ok(Some(Next::GoesOn)) => {}
                Ok(Some(Next::Rests) | None) => return,
                Err(error) => return self.house.room.complain(&error),
            }
        }
    }

    /// The one that waits longest; `None`: there is nothing left.
    async fn send_next(&self, account: &str) -> Result<Option<Next>, StoreError> {
        let forges = self.forges();
        let due = self.house.store.outbox_due(self.house.ports.clock.now()).await?;
        let ours = due.into_iter().find_map(|row| {
            let forge = forges.get(&row.repo).filter(|forge| forge.account() == account)?;
            Some((row, forge))
        });
        let Some((row, forge)) = ours else { return Ok(None) };
        if !self.house.store.outbox_begin(row.id).await? {
            return Ok(Some(Next::GoesOn));
        }
        match self.send(&**forge, &row).await {
            Ok(remote_id) => {
                self.house.store.outbox_sent(row.id, &row.wanted_text, remote_id.as_deref()).await?;
                if self.accounts.took(account, row.wanted.kind()) {
                    tracing::info!(forge.account = account, "the forge takes again what it is told");
                }
                meters::report(row.wanted.kind(), "sent");
                Ok(Some(Next::GoesOn))
            }
            Err(error) => self.put_off(account, &row, error).await.map(Some),
        }
    }

    async fn send(&self, forge: &dyn ForgeApi, row: &OutboxRow) -> ForgeResult<Option<String>> {
        let known = row.remote_id.as_deref();
        match &row.wanted {
            Report::Status(report) => forge.set_status(report).await.map(|()| None),
            Report::Deployment(report) => forge.set_deployment(report, known).await,
            Report::Comment(report) => {
                let name = format!("{}/{}", row.repo, row.branch);
                let marker = Marker::new(self.house.store.instance(), &name, &row.nonce);
                forge.set_comment(report, &marker, known).await.map(Some)
            }
        }
    }

    async fn put_off(&self, account: &str, row: &OutboxRow, error: ForgeError) -> Result<Next, StoreError> {
        let now = self.house.ports.clock.now();
        let reason = self.house.ports.redactor.text(&error.to_string()).into_owned();
        let (outcome, again_at, next) = match error {
            ForgeError::Gone if row.remote_id.is_some() => {
                self.house.store.outbox_gone(row.id).await?;
                return Ok(Next::GoesOn);
            }
            ForgeError::Gone | ForgeError::Passing(_) => {
                let failures = self.accounts.failed(account);
                let pause = retry_in(failures, chance());
                self.accounts.silence(account, now.plus(pause));
                ("passing", now.plus(retry_in(row.tries.saturating_add(1), chance())), Next::Rests)
            }
            ForgeError::Limited { until, .. } => {
                let until = moment(until, now);
                self.accounts.silence(account, until);
                ("limited", until, Next::Rests)
            }
            ForgeError::Unauthorized(_) => {
                self.accounts.silence(account, now.plus(DENIED_PAUSE));
                ("refused", now.plus(DENIED_PAUSE), Next::Rests)
            }
            ForgeError::Refused(_) => ("refused", now.plus(DENIED_PAUSE), Next::GoesOn),
        };
        self.house.store.outbox_failed(row.id, &reason, again_at).await?;
        meters::report(row.wanted.kind(), outcome);
        if self.accounts.is_news(account, row.wanted.kind(), &reason) {
            let (repo, kind) = (&row.repo, row.wanted.kind());
            tracing::warn!(forge.account = account, %repo, kind, %again_at, reason, "the forge does not take what it is told");
        }
        Ok(next)
    }
}

/// Not later than a limit may last, not so early that it would be none.
fn moment(until: Until, now: Timestamp) -> Timestamp {
    let named = match until {
        Until::At(at) => at,
        Until::After(pause) => now.plus(pause),
    };
    named.clamp(now.plus(SHORTEST_LIMIT), now.plus(LONGEST_LIMIT))
}

/// An account in use; free again when this is dropped.
struct Held {
    accounts: Arc<Accounts>,
    account: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.accounts.give_back(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_believed_within_reason() {
        let now = Timestamp::from_millis(1_000_000);
        let after = |seconds| moment(Until::After(Duration::from_secs(seconds)), now);
        assert_eq!(after(45), Timestamp::from_millis(1_045_000));
        let soonest = now.plus(SHORTEST_LIMIT);
        assert_eq!(after(0), soonest, "it is not asked every half second while it wants quiet");
        assert_eq!(moment(Until::At(Timestamp::from_millis(7)), now), soonest, "the clock here is ahead");
        assert_eq!(moment(Until::At(Timestamp::from_millis(i64::MAX)), now), now.plus(LONGEST_LIMIT));
    }
}
