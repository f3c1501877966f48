//! The order of things: events in, environments out.
//!
//! Everyone submits an event through [`Orchestrator::submit`]; nobody calls a worker. An event is durable before
//! the call returns; what follows from it is done here, and done again after a crash.

mod archive;
mod board;
mod builds;
mod claims;
mod deploy;
mod dispatch;
mod failure;
mod held_images;
mod house;
mod images;
mod intake;
mod jobs;
mod judge;
mod keep;
mod last_words;
mod outside;
mod places;
mod poll;
mod prepare;
mod recipe;
mod remotes;
mod removal;
mod rest;
mod restore;
mod resume;
mod retention;
mod run;
mod settle;
mod sleep;
mod stack;
mod start;
mod steadiness;
mod teardown;
mod timers;

use std::sync::Arc;

use tokio::sync::watch;

pub use board::Board;
pub use house::{AddressSettings, BranchRules, House, Limits, Ports, Repository, Settings};
pub use intake::Submitted;
pub use remotes::{RemoteState, Remotes};
pub use restore::RestoreRefused;

use crate::domain::event::{Event, EventId, EventSource, NewEvent};
use crate::domain::names::{EnvironmentId, RepoName};
use crate::domain::patience;
use crate::store::{NewDelivery, StoreError};
use dispatch::Dispatch;
use images::ImageShop;
use judge::Judges;
use removal::Removals;
use rest::StackRules;
use steadiness::Steadiness;

/// The whole core. Clones share it.
#[derive(Clone)]
pub struct Orchestrator {
    house: Arc<House>,
    board: Arc<Board>,
    dispatch: Arc<Dispatch>,
    judges: Arc<Judges>,
    shop: Arc<ImageShop>,
    removals: Arc<Removals>,
    folding: Arc<tokio::sync::Mutex<()>>,
    stack_rules: Arc<StackRules>,
    steadiness: Arc<Steadiness>,
}

impl Orchestrator {
    pub fn new(house: House) -> Self {
        let house = Arc::new(house);
        let board = Arc::new(Board::new(house.clone()));
        let shop = Arc::new(ImageShop::new(house.clone()));
        let dispatch = Arc::new(Dispatch::new(house.clone(), board.clone(), shop.clone()));
        let judges = Arc::new(Judges::default());
        let (removals, folding) = (Arc::default(), Arc::default());
        let (stack_rules, steadiness) = (Arc::default(), Arc::default());
        Self { house, board, dispatch, judges, shop, removals, folding, stack_rules, steadiness }
    }

    /// Takes up where the former life ended: routes, unfinished work, unsettled events, one look at every repository.
    ///
    /// # Errors
    /// When the database does not answer. Git and the engine may be away: that is retried later.
    pub async fn start(&self) -> Result<(), StoreError> {
        let now = self.house.ports.clock.now();
        self.house.store.supersede_running(patience::CUT, now).await?;
        self.board.rebuild().await?;
        for environment in self.house.store.environments(false).await? {
            if environment.has_work() {
                self.dispatch.wake(environment.id, environment.generation);
            }
        }
        for repo in self.house.settings().repositories.keys() {
            self.look(repo, EventSource::Start).await?;
        }
        self.spawn_timers();
        Ok(())
    }

    /// The one door: stores the events, folds them, and says what follows.
    ///
    /// # Errors
    /// When the database does not take them: then nothing was stored and the sender has to come again.
    pub async fn submit(
        &self,
        delivery: Option<NewDelivery>,
        events: &[NewEvent],
    ) -> Result<Vec<Submitted>, StoreError> {
        let now = self.house.ports.clock.now();
        let accepted = self.house.store.accept(delivery, events, now).await?;
        let mut submitted = Vec::with_capacity(accepted.len());
        for accepted in accepted {
            submitted.push(self.take(accepted.event).await?);
        }
        Ok(submitted)
    }

    /// Changes with every change of the environment; the value counts them.
    pub fn watch(&self, environment: EnvironmentId) -> watch::Receiver<u64> {
        self.board.watch(environment)
    }

    /// Takes a settled event once more; `None` when there is no such event.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replay(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        if self.house.store.event(id).await?.is_none() {
            return Ok(None);
        }
        self.house.store.replay(id).await?;
        if let Some(event) = self.house.store.event(id).await? {
            self.take(event).await?;
        }
        self.house.store.event(id).await
    }

    pub fn house(&self) -> &Arc<House> {
        &self.house
    }

    async fn look(&self, repo: &RepoName, source: EventSource) -> Result<(), StoreError> {
        let look = NewEvent {
            source,
            repo: repo.clone(),
            kind: crate::domain::event::EventKind::Look,
            delivery_id: None,
            skip: false,
        };
        self.submit(None, &[look]).await.map(|_| ())
    }
}
