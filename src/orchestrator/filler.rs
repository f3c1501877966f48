//! A disk is too full to build anything: the environment that goes on filling it is put to sleep, before others break.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::environment::Phase;
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::filler;
use crate::domain::names::EnvironmentId;
use crate::store::StoreError;

use super::Orchestrator;

/// What environments had written at the last look; none while no disk is too full.
#[derive(Default)]
pub(super) struct Fillers(Mutex<Option<BTreeMap<EnvironmentId, u64>>>);

impl Fillers {
    /// There is room.
    pub(super) fn forget(&self) {
        self.replace(None);
    }

    fn replace(&self, sizes: Option<BTreeMap<EnvironmentId, u64>>) -> Option<BTreeMap<EnvironmentId, u64>> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), sizes)
    }
}

impl Orchestrator {
    /// One look. The first only remembers; an engine that does not tell is asked again with the next.
    pub(super) async fn stop_filler(&self, why_full: &str) -> Result<(), StoreError> {
        let instance = self.house.store.instance();
        let Ok(now) = self.house.ports.stock.written(instance).await else { return Ok(()) };
        let Some(before) = self.fillers.replace(Some(now.clone())) else { return Ok(()) };
        let Some((id, grown)) = filler::filler(&before, &now) else { return Ok(()) };
        let Some(environment) = self.house.store.environment(id).await? else { return Ok(()) };
        if environment.phase != Phase::Ready || environment.has_work() {
            return Ok(());
        }
        let why = format!(
            "it wrote {} MB within seconds while a disk was too full: {why_full}; a visit wakes it",
            grown >> 20
        );
        tracing::warn!(environment.slug = %environment.slug, why, "an environment that fills the disk is put to sleep");
        let kind = EventKind::SleepRequested { branch: environment.branch, why };
        let (source, repo) = (EventSource::Timer, environment.repo);
        self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
        Ok(())
    }
}
