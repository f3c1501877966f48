//! The end of an archive: the row first, then file, commit and images. One at a time.
//!
//! The event stays pending until all of it is gone. Whatever kills the daemon in between, the next start takes the event
//! up again, and each step may run twice.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::domain::environment::{ArchiveRecord, RemovalReason};
use crate::domain::event::{Event, EventId, EventKind, EventState};
use crate::domain::retention;
use crate::ports::PortError;
use crate::store::StoreError;

use super::Orchestrator;
use super::failure::Failure;

/// Which removals run.
pub(super) struct Removals {
    one_at_a_time: tokio::sync::Mutex<()>,
    running: Mutex<BTreeSet<EventId>>,
    /// Counts the ends of removals.
    ended: watch::Sender<u64>,
}

impl Default for Removals {
    fn default() -> Self {
        Self {
            one_at_a_time: tokio::sync::Mutex::default(),
            running: Mutex::default(),
            ended: watch::Sender::new(0),
        }
    }
}

impl Removals {
    fn begin(&self, id: EventId) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    fn end(&self, id: EventId) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.ended.send_modify(|ended| *ended += 1);
    }

    fn runs(&self, id: EventId) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

/// How a removal went.
enum Removed {
    Gone,
    /// It stays, and why.
    Stays(&'static str),
}

impl Orchestrator {
    /// Removes in the background.
    pub(super) fn spawn_removal(&self, event: Event) {
        if self.house.supervisor.is_ending() || !self.removals.begin(event.id) {
            return;
        }
        let this = self.clone();
        self.house.supervisor.spawn("removal", async move {
            let one_at_a_time = this.removals.one_at_a_time.lock().await;
            let result = this.remove_archive(&event).await;
            drop(one_at_a_time);
            if let Err(error) = this.settle_removal(&event, result).await {
                tracing::error!(%error, event.id = event.id.0, "the event could not be settled");
            }
            this.removals.end(event.id);
        });
    }

    /// Waits for the removal that the event asks for; the event is still pending when it has to be tried again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn removal_ended(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        let mut ended = self.removals.ended.subscribe();
        while self.removals.runs(id) {
            if ended.changed().await.is_err() {
                break;
            }
        }
        self.house.store.event(id).await
    }

    async fn remove_archive(&self, event: &Event) -> Result<Removed, Failure> {
        let EventKind::ArchiveRemoval { archive: id, reason, .. } = &event.kind else {
            return Err(Failure::Failed("the event removes no archive".to_owned()));
        };
        let house = &self.house;
        let Some(archive) = house.store.archive(id).await? else {
            return Err(Failure::Failed(format!("no archive has the id {id}")));
        };
        if archive.removed_at.is_none() {
            if let Some(refusal) = self.refusal(&archive, *reason).await? {
                return Ok(Removed::Stays(refusal));
            }
            if !house.store.archive_removed(id, *reason, house.ports.clock.now()).await? {
                return Ok(Removed::Stays("it was pinned meanwhile"));
            }
        }
        house.ports.archives.remove(id).await?;
        if let Err(error) = house.ports.commits.release_commit(&archive.repo, id).await {
            if error.is_transient() {
                return Err(error.into());
            }
            tracing::warn!(%error, archive.id = id, "the archive's commit stays in the mirror");
        }
        self.shop.let_go(id).await?;
        tracing::info!(archive.id = id, reason = reason.text(), "an archive is removed");
        Ok(Removed::Gone)
    }

    /// What age and sum ask for is looked at again: things may have changed since it was asked.
    async fn refusal(
        &self,
        archive: &ArchiveRecord,
        reason: RemovalReason,
    ) -> Result<Option<&'static str>, Failure> {
        if let Some(refusal) = retention::refusal(archive, &self.archives_in_use().await?) {
            return Ok(Some(refusal));
        }
        // An end that is tried again would write it anew, and still has to say which images it keeps.
        let environment = self.house.store.environment(archive.environment).await?;
        if environment.is_some_and(|it| !it.phase.is_over() && it.archive_id() == archive.id) {
            return Ok(Some("its environment has not come to its end yet; try again when it has"));
        }
        if reason == RemovalReason::Asked {
            return Ok(None);
        }
        let verdict = self.judge_archives().await?;
        let goes = verdict.removals.iter().any(|(id, _)| *id == archive.id);
        Ok((!goes).then_some("neither its age nor the sum of all asks for it any more"))
    }

    async fn settle_removal(
        &self,
        event: &Event,
        result: Result<Removed, Failure>,
    ) -> Result<(), StoreError> {
        let EventKind::ArchiveRemoval { archive, reason, .. } = &event.kind else { return Ok(()) };
        let (state, text) = match result {
            Ok(Removed::Gone) => {
                (EventState::Done, format!("archive {archive} is removed: {}", reason.text()))
            }
            Ok(Removed::Stays(why)) => (EventState::Ignored, format!("archive {archive} stays: {why}")),
            // Stays pending: the timer comes back to it.
            Err(Failure::Transient(reason)) => {
                tracing::warn!(
                    archive.id = archive,
                    reason,
                    "the archive cannot be removed now, it will be tried again"
                );
                return Ok(());
            }
            Err(failure) => (EventState::Failed, format!("archive {archive}: {failure}")),
        };
        self.house.settle_event(event, state, Some(&text)).await
    }

    /// Removes the file of an archive that nobody can want, after the row said so.
    pub(super) async fn remove_leftover(&self, id: &str) {
        let removed: Result<(), PortError> = self.house.ports.archives.remove(id).await;
        match removed {
            Ok(()) => tracing::warn!(archive.id = id, "the file of an archive that is no more was removed"),
            Err(error) => {
                tracing::warn!(%error, archive.id = id, "the file of an archive that is no more stays");
            }
        }
    }
}
