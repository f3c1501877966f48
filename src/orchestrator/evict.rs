//! A disk is nearly full and what can be made anew is gone: environments are archived, one at a time, until there is room.

use std::sync::{Mutex, PoisonError};

use crate::domain::disk::Disk;
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::eviction::{self, Progress};
use crate::store::StoreError;

use super::Orchestrator;

/// What became of the ends so far, and whether it was told that there is nothing more to do.
#[derive(Default)]
pub(super) struct Evictions(Mutex<(Progress, bool)>);

impl Evictions {
    /// There is room again.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Progress::default(), false);
    }

    fn next(&self, free_bytes: u64) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = state.0.next(free_bytes);
        if let Some(next) = next {
            state.0 = next;
        }
        next.is_some()
    }

    fn tell_once(&self, text: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.1 {
            tracing::error!("{text}");
        }
        state.1 = true;
    }
}

impl Orchestrator {
    /// One step: asks for one end, or says once why there is none to ask for.
    pub(super) async fn evict(&self, disk: &Disk, free_for_data: u64) -> Result<(), StoreError> {
        let live = self.house.store.environments(false).await?;
        if live.iter().any(|it| it.intent.ends() && it.has_work()) {
            return Ok(());
        }
        // Nobody else's environment goes for what one has filled.
        let blamed = live.iter().find(|it| Some(it.id) == self.fillers.blamed() && !it.pinned);
        if blamed.is_some_and(|it| it.has_work()) {
            return Ok(());
        }
        let Some(environment) = blamed.or_else(|| eviction::choose(&live)) else {
            self.evictions.tell_once(&format!("{disk}, and no environment is left that may make room"));
            return Ok(());
        };
        let archives = self.house.store.kept_archives().await?;
        if !eviction::has_room_for_archive(environment, &archives, free_for_data) {
            self.evictions.tell_once(&format!(
                "{disk}, and there is no room for the archive of an environment: make some by hand"
            ));
            return Ok(());
        }
        if !self.evictions.next(disk.free_bytes) {
            self.evictions.tell_once(&format!(
                "{disk}, and archiving environments has freed nothing: what fills it is not drey's; make room by hand"
            ));
            return Ok(());
        }
        let reason =
            if blamed.is_some() { "it filled it" } else { "nobody has visited it for longer than any other" };
        let why = format!("{disk} ([disk] evict), and {reason}");
        tracing::warn!(environment.slug = %environment.slug, why, "an environment is archived to make room");
        let kind = EventKind::Expired { branch: environment.branch.clone(), why };
        let (source, repo) = (EventSource::Timer, environment.repo.clone());
        self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
        Ok(())
    }
}
