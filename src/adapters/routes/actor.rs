//! The one task that brings routes into force: it waits until they are quiet, and tries again by itself what failed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::apply::{Applied, Apply};
use super::fault::Fault;
use super::model::Frame;
use super::publisher::Tables;
use super::status::{Served, Status};
use crate::domain::provider::{ProviderFile, ProviderStatus};
use crate::domain::route::RouteTable;
use crate::ports::{Clock, PortError, PortResult, Provider};

/// How soon a change is brought into force.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// So long nothing else may change.
    pub quiet: Duration,
    /// So long a change waits at most, however much else changes.
    pub at_most: Duration,
    /// After the first failure; each further one doubles it.
    pub again: Duration,
    pub again_at_most: Duration,
    /// How often it is looked whether the proxy still has what it should, also when nothing changes.
    pub look: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            at_most: Duration::from_millis(500),
            again: Duration::from_secs(1),
            again_at_most: Duration::from_secs(30),
            look: Duration::from_secs(15),
        }
    }
}

/// Brings the newest table and the newest frame into force at one proxy.
pub struct Actor {
    pub tables: Tables,
    pub frames: watch::Receiver<Arc<Frame>>,
    pub proxy: Arc<dyn Apply>,
    pub status: Status,
    pub clock: Arc<dyn Clock>,
    pub pace: Pace,
}

impl Actor {
    /// Until the daemon ends. What serves then serves on.
    pub async fn run(mut self, ending: CancellationToken) {
        tokio::select! {
            () = ending.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        // The first table may have been told already.
        self.tables.mark_changed();
        let (mut failures, mut wake) = (0_u32, None);
        while let Some(begun) = self.next(wake).await {
            let Some(table) = self.tables.borrow_and_update().clone() else { continue };
            let frame = self.frames.borrow_and_update().clone();
            let Some(applied) = self.apply_unless_newer(&table, &frame, begun).await else {
                wake = None;
                continue;
            };
            let pause = match applied {
                true => {
                    failures = 0;
                    self.pace.look
                }
                false => {
                    failures += 1;
                    let longer = self.pace.again.saturating_mul(1 << failures.saturating_sub(1).min(10));
                    longer.min(self.pace.again_at_most)
                }
            };
            wake = Some(Instant::now() + pause);
        }
    }

    /// None: newer routes came while the proxy had not come for these.
    async fn apply_unless_newer(
        &self,
        table: &Arc<RouteTable>,
        frame: &Frame,
        begun: Instant,
    ) -> Option<bool> {
        let (mut tables, mut frames) = (self.tables.clone(), self.frames.clone());
        let newer = async {
            let is_told = changed(&mut tables, &mut frames).await.is_some();
            if !is_told || !self.proxy.gives_way() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            applied = self.apply(table, frame, begun) => Some(applied),
            () = newer => None,
        }
    }

    /// Waits for a change and for quiet after it, or for the time to look again. When the change came; none: nobody tells
    /// anything any more.
    async fn next(&mut self, wake: Option<Instant>) -> Option<Instant> {
        let looks = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = looks => return Some(Instant::now()),
            changed = changed(&mut self.tables, &mut self.frames) => changed?,
        }
        let begun = Instant::now();
        let last = begun + self.pace.at_most;
        loop {
            self.adjust().await;
            let until = (Instant::now() + self.pace.quiet).min(last);
            match timeout_at(until, changed(&mut self.tables, &mut self.frames)).await {
                Ok(changed) => changed?,
                Err(_quiet) => return Some(begun),
            }
        }
    }

    /// What can be changed in a proxy while it runs need not wait for quiet; that it is written down may.
    async fn adjust(&self) {
        let (table, frame) = (self.tables.borrow().clone(), self.frames.borrow().clone());
        if let Some(table) = table {
            self.proxy.adjust(&table, &frame).await;
        }
    }

    async fn apply(&self, table: &Arc<RouteTable>, frame: &Frame, begun: Instant) -> bool {
        let taken = Instant::now();
        let applied = self.proxy.apply(table, frame).await;
        self.status.stands(self.proxy.container());
        match applied {
            Ok(applied) => {
                self.tell(&applied);
                self.status.applied(&applied, self.clock.now(), begun.elapsed());
                self.status.serves(table.clone(), taken);
                true
            }
            Err(fault) => {
                // What does not run leads nobody anywhere, and starts with what is written.
                if matches!(fault, Fault::Down(_)) {
                    self.status.serves(table.clone(), taken);
                }
                if self.status.failed(&fault, self.clock.now()) {
                    tracing::error!(error = %fault, "the newest routes are not in force at the proxy: what was there serves on");
                }
                false
            }
        }
    }

    fn tell(&self, applied: &Applied) {
        let before = self.status.read();
        for bad in applied.quarantined.iter().filter(|bad| !before.quarantined.contains(bad)) {
            tracing::error!(
                environment.name = %bad.environment,
                reason = %bad.reason,
                "the proxy refuses the routes of this environment: its hosts lead to the gate"
            );
        }
        if before.generation.as_ref() != Some(&applied.mark) {
            let (mark, direct) = (&applied.mark, applied.direct);
            tracing::info!(proxy.generation = %mark, proxy.direct = direct, "the proxy has the newest routes");
        }
    }
}

async fn changed(tables: &mut Tables, frames: &mut watch::Receiver<Arc<Frame>>) -> Option<()> {
    tokio::select! {
        changed = tables.changed() => changed.ok(),
        changed = frames.changed() => changed.ok(),
    }
}

/// How long something that ends is kept for a proxy that may still lead there.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

impl Shown {
    fn is_newest(&self, table: &Arc<RouteTable>) -> bool {
        self.tables.borrow().as_ref().is_some_and(|newest| Arc::ptr_eq(newest, table))
    }
}

/// The proxy for those who look at it.
pub struct Shown {
    pub tables: Tables,
    pub frames: watch::Receiver<Arc<Frame>>,
    pub proxy: Arc<dyn Apply>,
    pub status: Status,
}

#[async_trait]
impl Provider for Shown {
    fn status(&self) -> ProviderStatus {
        self.status.read()
    }

    async fn settle(&self) {
        let asked = Instant::now();
        let mut served = self.status.served();
        let newest = self.tables.borrow().clone();
        let has_newest = |served: &Option<Served>| match (served, &newest) {
            (Some(Served { table, taken }), Some(newest)) => {
                // What was taken later has it all.
                Arc::ptr_eq(table, newest) || self.is_newest(table) || *taken > asked
            }
            (_, None) => true,
            (None, Some(_)) => false,
        };
        let limit = SETTLE_LIMIT + self.proxy.lag();
        if tokio::time::timeout(limit, served.wait_for(has_newest)).await.is_err() {
            tracing::warn!(
                "the proxy does not take the newest routes: what they leave out is ended all the same"
            );
        }
    }

    async fn hand_out(&self, asker: &str) -> Option<String> {
        self.proxy.hand_out(asker).await
    }

    async fn render(&self) -> PortResult<Vec<ProviderFile>> {
        let table = self.tables.borrow().clone().unwrap_or_default();
        let frame = self.frames.borrow().clone();
        self.proxy.render(&table, &frame).await.map_err(|fault| match fault {
            Fault::Port(error) => error,
            other @ (Fault::Template(_)
            | Fault::Refused(_)
            | Fault::Disk(_)
            | Fault::Down(_)
            | Fault::Container(_)
            | Fault::Unconfirmed(_)) => PortError::Permanent(other.to_string()),
        })
    }
}
