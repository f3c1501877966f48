//! A disk is too full to build anything: the environment that goes on filling it is put to sleep, before others break.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::duration::spoken;
use crate::domain::environment::Phase;
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::filler;
use crate::domain::names::EnvironmentId;
use crate::store::StoreError;

use super::Orchestrator;

/// How old what is known may be while there is room: the disk may be full within seconds.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
/// And while there is none: whoever writes on is found soon.
const LOOK_WHEN_FULL: Duration = Duration::from_secs(15);

/// What environments had written at the last look, and who was found to fill the disk.
#[derive(Default)]
pub(super) struct Fillers {
    last: Mutex<Option<Look>>,
    blamed: Mutex<Option<EnvironmentId>>,
}

#[derive(Clone)]
struct Look {
    at: Instant,
    sizes: BTreeMap<EnvironmentId, u64>,
    was_full: bool,
}

impl Fillers {
    fn last(&self) -> Option<Look> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, sizes: BTreeMap<EnvironmentId, u64>, was_full: bool) {
        let look = Look { at: Instant::now(), sizes, was_full };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    }

    /// Who filled the disk: the first that has to make room.
    pub(super) fn blamed(&self) -> Option<EnvironmentId> {
        *self.blamed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blame(&self, id: Option<EnvironmentId>) {
        *self.blamed.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }
}

impl Orchestrator {
    /// Looks what environments have written, when it is time; where a disk is too full whoever filled it is put to sleep. An engine
    /// that does not tell is asked again.
    pub async fn watch_fillers(&self) {
        let why_full = self.house.room.disks().why_wait();
        if let Err(error) = self.look_for_fillers(why_full.as_deref()).await {
            self.house.room.complain(&error);
        }
    }

    async fn look_for_fillers(&self, why_full: Option<&str>) -> Result<(), StoreError> {
        let last = self.fillers.last();
        let is_full = why_full.is_some();
        if !is_full {
            self.fillers.blame(None);
        }
        let is_due = last.as_ref().is_none_or(|last| match (is_full, last.was_full) {
            (true, false) => true,
            (true, true) => last.at.elapsed() >= LOOK_WHEN_FULL,
            (false, _) => last.at.elapsed() >= LOOK_EVERY,
        });
        if !is_due {
            return Ok(());
        }
        let told = self.house.ports.stock.written(self.house.store.instance()).await;
        let Ok(now) = told else { return Ok(()) };
        self.fillers.remember(now.clone(), is_full);
        match (last, why_full) {
            (Some(last), Some(why_full)) => self.stop_filler(&last, &now, why_full).await,
            (None, _) | (_, None) => Ok(()),
        }
    }

    async fn stop_filler(
        &self,
        last: &Look,
        now: &BTreeMap<EnvironmentId, u64>,
        why_full: &str,
    ) -> Result<(), StoreError> {
        let Some((id, grown)) = filler::filler(&last.sizes, now) else { return Ok(()) };
        let Some(environment) = self.house.store.environment(id).await? else { return Ok(()) };
        if !matches!(environment.phase, Phase::Ready | Phase::Updating | Phase::Starting)
            || environment.intent.ends()
        {
            return Ok(());
        }
        self.fillers.blame(Some(id));
        let why = format!(
            "it wrote {} MB within {}, and {why_full}; a visit wakes it when there is room",
            grown >> 20,
            spoken(Duration::from_secs(last.at.elapsed().as_secs().max(1)))
        );
        tracing::warn!(environment.slug = %environment.slug, why, "an environment that fills the disk is put to sleep");
        let kind = EventKind::SleepRequested { branch: environment.branch, why, gives_way: false };
        let (source, repo) = (EventSource::Timer, environment.repo);
        self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
        Ok(())
    }
}
