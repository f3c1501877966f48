//! One worker per environment; the newest generation wins.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::domain::environment::{Environment, Intent};
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::patience;

use super::board::Board;
use super::cut;
use super::house::House;
use super::images::ImageShop;
use super::outside;
use super::places::Places;
use super::run::{self, Next};

/// How often it is asked whether what was away is back.
const BACK_EVERY: Duration = Duration::from_secs(5);
/// Pause where not even the database could be asked.
const IN_THE_DARK: Duration = Duration::from_secs(5);

/// Starts workers and tells them that there is news.
pub(super) struct Dispatch {
    house: Arc<House>,
    board: Arc<Board>,
    shop: Arc<ImageShop>,
    pub(super) places: Arc<Places>,
    workers: Mutex<BTreeMap<EnvironmentId, Worker>>,
}

struct Worker {
    newest: Generation,
    /// Cancelled when a newer generation is there.
    running: CancellationToken,
}

impl Dispatch {
    pub(super) fn new(house: Arc<House>, board: Arc<Board>, shop: Arc<ImageShop>) -> Self {
        Self { house, board, shop, places: Arc::default(), workers: Mutex::default() }
    }

    /// There is a generation to work on. A worker of an older one is cancelled and goes on with this one. When the daemon
    /// ends none begins: the next start finds the work in the row.
    pub(super) fn wake(self: &Arc<Self>, environment: EnvironmentId, generation: Generation) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get_mut(&environment) {
            if generation > worker.newest {
                worker.newest = generation;
                worker.running.cancel();
            }
            return;
        }
        if self.house.supervisor.is_ending() {
            return;
        }
        let running = CancellationToken::new();
        workers.insert(environment, Worker { newest: generation, running: running.clone() });
        drop(workers);
        let this = self.clone();
        self.house
            .supervisor
            .spawn("worker", async move { this.work(environment, generation, running).await });
    }

    async fn work(
        &self,
        environment: EnvironmentId,
        mut generation: Generation,
        mut token: CancellationToken,
    ) {
        let draining = self.house.supervisor.draining();
        loop {
            // In a box: one that waits for its turn takes no more memory than it needs for waiting.
            let mut next = Box::pin(self.once(environment, &token)).await;
            cut::until_gone(&self.house, environment).await;
            if let Next::Again(pause) = next {
                next = tokio::select! {
                    () = draining.cancelled() => Next::Rest,
                    () = token.cancelled() => next,
                    () = self.pass(environment, pause) => next,
                };
            }
            let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            match workers.get_mut(&environment) {
                Some(worker) if worker.newest > generation && !self.house.supervisor.is_ending() => {
                    generation = worker.newest;
                    token = CancellationToken::new();
                    worker.running = token.clone();
                }
                Some(_) if matches!(next, Next::Again(_)) && !draining.is_cancelled() => {}
                Some(_) | None => {
                    workers.remove(&environment);
                    drop(workers);
                    self.places.leave(environment);
                    return;
                }
            }
        }
    }

    /// One try, as soon as there is a place for it. A panic is a try that failed.
    async fn once(&self, id: EnvironmentId, token: &CancellationToken) -> Next {
        let draining = self.house.supervisor.draining();
        let environment = match self.house.store.environment(id).await {
            Ok(Some(environment)) if environment.has_work() => environment,
            Ok(_) => return Next::Rest,
            Err(error) => {
                self.house.room.complain(&error);
                return Next::Again(IN_THE_DARK);
            }
        };
        let settings = self.house.settings();
        let is_held = match self.house.is_held(&environment).await {
            // What ran before it was held may wake.
            Ok(is_held) => is_held && matches!(environment.intent, Intent::Run { .. }),
            Err(error) => {
                self.house.room.complain(&error);
                return Next::Again(IN_THE_DARK);
            }
        };
        tokio::select! {
            biased;
            () = draining.cancelled() => return Next::Rest,
            () = token.cancelled() => return Next::Rest,
            () = self.places.enter(&environment, &settings.places), if !is_held => {}
            () = std::future::ready(()), if is_held => {}
        }
        let work = run::one_generation(&self.house, &self.board, &self.shop, id, token);
        match AssertUnwindSafe(Box::pin(work)).catch_unwind().await {
            Ok(next) => next,
            Err(_panic) => self.after_panic(&environment).await,
        }
    }

    async fn after_panic(&self, environment: &Environment) -> Next {
        let reason = "drey itself broke down over it: a fault of drey's own, its log says where";
        tracing::error!(environment.slug = %environment.slug, "{reason}");
        let now = self.house.ports.clock.now();
        if let Err(error) = self.house.store.fail_running(environment.id, reason, now).await {
            tracing::error!(%error, environment.slug = %environment.slug, "that cannot be written down");
        }
        Next::Again(patience::pause(1))
    }

    /// The pause, and then until what the work needs is back.
    async fn pass(&self, id: EnvironmentId, pause: Duration) {
        tokio::time::sleep(patience::spread(pause, id.0.unsigned_abs())).await;
        while let Ok(Some(environment)) = self.house.store.environment(id).await
            && outside::away(&self.house, &environment).await.is_some()
        {
            tokio::time::sleep(patience::spread(BACK_EVERY, id.0.unsigned_abs())).await;
        }
    }
}
