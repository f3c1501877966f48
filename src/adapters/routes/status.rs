//! How it stands, for those who ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::apply::{Applied, Taken};
use super::fault::Fault;
use crate::domain::provider::{ProviderContainer, ProviderState, ProviderStatus};
use crate::domain::route::RouteTable;
use crate::domain::time::Timestamp;
use crate::ports::meters;

/// Shared by the task that applies routes and those who ask it.
#[derive(Clone, Debug)]
pub struct Status {
    inner: Arc<Mutex<ProviderStatus>>,
    /// The table in force at the proxy; none before there was one.
    served: Arc<watch::Sender<Option<Served>>>,
}

/// A table in force at the proxy.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) table: Arc<RouteTable>,
    /// When it was the newest.
    pub(super) taken: Instant,
}

impl Status {
    pub fn new(provider: &str) -> Self {
        let status = ProviderStatus { provider: provider.to_owned(), ..ProviderStatus::default() };
        Self { inner: Arc::new(Mutex::new(status)), served: Arc::default() }
    }

    pub fn read(&self) -> ProviderStatus {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The table is in force.
    pub(super) fn serves(&self, table: Arc<RouteTable>, taken: Instant) {
        self.served.send_replace(Some(Served { table, taken }));
    }

    /// Sees each table that comes into force.
    pub(super) fn served(&self) -> watch::Receiver<Option<Served>> {
        self.served.subscribe()
    }

    /// How its container stands, where it is in one.
    pub(super) fn stands(&self, container: Option<ProviderContainer>) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).container = container;
    }

    /// The newest routes are in force, so long after they were told.
    pub(super) fn applied(&self, applied: &Applied, now: Timestamp, took: Duration) {
        let mut status = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = status.generation.as_ref() != Some(&applied.mark);
        match applied.taken {
            Taken::Nothing => {}
            Taken::Reload => status.reloads += 1,
            Taken::Adjustment => status.adjustments += 1,
        }
        if is_new {
            status.generation = Some(applied.mark.clone());
            status.applied_at = Some(now);
            status.last_apply_ms = u64::try_from(took.as_millis()).ok();
            meters::provider_applied(took, now);
        }
        meters::provider_taken(applied.taken.word());
        status.state = ProviderState::Serving;
        status.direct = applied.direct;
        status.assumed = applied.assumed.map(str::to_owned);
        (status.error, status.failing_since) = (None, None);
        status.quarantined.clone_from(&applied.quarantined);
        meters::provider_stands(true, status.quarantined.len());
    }

    /// They are not; it is tried again. Whether that is news.
    pub(super) fn failed(&self, fault: &Fault, now: Timestamp) -> bool {
        let mut status = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let text = fault.to_string();
        let is_news = status.error.as_ref() != Some(&text);
        status.state = ProviderState::Failing;
        status.failures += 1;
        status.error = Some(text);
        status.failing_since.get_or_insert(now);
        meters::provider_taken(fault.word());
        meters::provider_stands(false, status.quarantined.len());
        is_news
    }
}
