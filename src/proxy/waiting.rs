//! Where requests wait for an environment that is not there yet: how many, and how long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::settings::HoldSettings;
use super::visits::{Held, Visits};

/// How long a browser is held that would rather be shown a page, while containers are replaced: mostly that is over
/// before anybody could read one.
const PAGE_AFTER: Duration = Duration::from_secs(10);

/// How often one that waits looks, and knocks where nobody was heard.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// Waiting pages that listen at once, of all environments and of one. They are many and cost little, and take no place
/// of those who wait for an answer.
const LISTENERS: usize = 8192;
const LISTENERS_OF_ENVIRONMENT: usize = 1024;

/// The places there are.
pub(super) struct WaitingRoom {
    places: Arc<Semaphore>,
    of_environment: usize,
    time: Duration,
    listeners: Arc<Semaphore>,
}

/// A place; free again when this is dropped.
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    _of_environment: Held,
}

impl WaitingRoom {
    pub(super) fn new(settings: HoldSettings) -> Self {
        let places = Arc::new(Semaphore::new(settings.requests));
        let listeners = Arc::new(Semaphore::new(LISTENERS));
        Self { places, of_environment: settings.of_environment, time: settings.time, listeners }
    }

    /// Until when one that comes now may wait.
    pub(super) fn deadline(&self, navigates: bool) -> Instant {
        Instant::now() + if navigates { self.time.min(PAGE_AFTER) } else { self.time }
    }

    /// A place at this environment's door; none where it is full.
    pub(super) fn enter(&self, visits: &Arc<Visits>) -> Option<Place> {
        let all = self.places.clone().try_acquire_owned().ok()?;
        Some(Place { _all: all, _of_environment: visits.hold(self.of_environment)? })
    }

    /// A place for a page that listens; none where too many do.
    pub(super) fn listen(&self, visits: &Arc<Visits>) -> Option<Place> {
        let all = self.listeners.clone().try_acquire_owned().ok()?;
        Some(Place { _all: all, _of_environment: visits.listen(LISTENERS_OF_ENVIRONMENT)? })
    }
}

/// One request that waits for the table to change.
pub(super) struct Waiting {
    changes: watch::Receiver<()>,
    deadline: Instant,
    /// While it is at an environment's door.
    _place: Option<Place>,
}

impl Waiting {
    pub(super) const fn new(changes: watch::Receiver<()>, deadline: Instant, place: Option<Place>) -> Self {
        Self { changes, deadline, _place: place }
    }

    /// Returns whether there is something new to look at.
    pub(super) async fn next(&mut self, draining: &CancellationToken) -> bool {
        tokio::select! {
            changed = self.changes.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(self.deadline) => false,
            () = tokio::time::sleep(LOOK_AGAIN) => true,
            () = draining.cancelled() => false,
        }
    }
}
