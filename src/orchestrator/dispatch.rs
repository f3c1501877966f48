//! One worker per environment; the newest generation wins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::domain::names::{EnvironmentId, Generation};

use super::board::Board;
use super::cut;
use super::house::House;
use super::images::ImageShop;
use super::run;

/// Starts workers and tells them that there is news.
pub(super) struct Dispatch {
    house: Arc<House>,
    board: Arc<Board>,
    shop: Arc<ImageShop>,
    workers: Mutex<BTreeMap<EnvironmentId, Worker>>,
}

struct Worker {
    newest: Generation,
    /// Cancelled when a newer generation is there.
    running: CancellationToken,
}

impl Dispatch {
    pub(super) fn new(house: Arc<House>, board: Arc<Board>, shop: Arc<ImageShop>) -> Self {
        Self { house, board, shop, workers: Mutex::default() }
    }

    /// There is a generation to work on. A worker of an older one is cancelled and goes on with this one.
    pub(super) fn wake(self: &Arc<Self>, environment: EnvironmentId, generation: Generation) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get_mut(&environment) {
            if generation > worker.newest {
                worker.newest = generation;
                worker.running.cancel();
            }
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
        loop {
            run::one_generation(&self.house, &self.board, &self.shop, environment, &token).await;
            cut::until_gone(&self.house, environment).await;
            let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            match workers.get_mut(&environment) {
                Some(worker) if worker.newest > generation => {
                    generation = worker.newest;
                    token = CancellationToken::new();
                    worker.running = token.clone();
                }
                Some(_) | None => {
                    workers.remove(&environment);
                    return;
                }
            }
        }
    }
}
