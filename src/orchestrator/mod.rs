//! The order of things: events in, environments out.
//!
//! Everyone submits an event through [`Orchestrator::submit`]; nobody calls a worker. An event and the intent that follows
//! from it are durable before the call returns; the work is done here, and done again after a crash.

mod absence;
mod accounts;
mod approval;
mod archive;
mod audit;
mod backend;
mod board;
mod build_slots;
mod builds;
mod chance;
mod claims;
mod collect;
mod cut;
mod deploy;
mod directory;
mod dispatch;
mod enclosing;
mod enclosure;
mod evict;
mod failpoints;
mod failure;
mod farewell;
mod filler;
mod gauge;
mod held_images;
mod house;
mod images;
mod intake;
mod jobs;
mod judge;
mod keep;
mod last_words;
mod orphans;
mod outside;
mod paths;
mod places;
mod poll;
mod power;
mod prepare;
mod queue;
mod recipe;
mod reload;
mod remotes;
mod removal;
mod reporter;
mod rest;
mod restore;
mod resume;
mod retention;
mod room;
mod run;
mod secrets;
mod sender;
mod settle;
mod sift;
mod sleep;
mod stack;
mod start;
mod steadiness;
mod subject;
mod submitted;
mod teardown;
mod timers;
mod told;
mod trouble;
mod waiting;
mod watching;

use std::sync::Arc;

use tokio::sync::watch;

pub use approval::ApprovalRefused;
pub use backend::authorities;
pub use board::Board;
pub use directory::DirectoryError;
pub use gauge::Room;
pub use house::{AddressSettings, BranchRules, House, Limits, Ports, Repository, Settings};
pub use remotes::{RemoteState, Remotes};
pub use restore::RestoreRefused;
pub use secrets::Failed as SecretFailed;
pub use submitted::Submitted;

use crate::domain::event::{Event, EventId, EventSource, NewEvent};
use crate::domain::names::{EnvironmentId, RepoName};
use crate::domain::patience;
use crate::domain::route::RouteTable;
use crate::store::StoreError;
use accounts::Accounts;
use directory::Directory;
use dispatch::Dispatch;
use images::ImageShop;
use judge::Judges;
use queue::Queue;
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
    collecting: Arc<tokio::sync::Mutex<()>>,
    evictions: Arc<evict::Evictions>,
    fillers: Arc<filler::Fillers>,
    stack_rules: Arc<StackRules>,
    steadiness: Arc<Steadiness>,
    queue: Arc<Queue>,
    accounts: Arc<Accounts>,
    directory: Arc<Directory>,
    renewing_tokens: Arc<tokio::sync::Mutex<()>>,
}

impl Orchestrator {
    pub fn new(house: House) -> Self {
        let house = Arc::new(house);
        let board = Arc::new(Board::new(house.clone()));
        let shop = Arc::new(ImageShop::new(house.clone()));
        let dispatch = Arc::new(Dispatch::new(house.clone(), board.clone(), shop.clone()));
        let judges = Arc::new(Judges::default());
        Self {
            house,
            board,
            dispatch,
            judges,
            shop,
            removals: Arc::default(),
            collecting: Arc::default(),
            evictions: Arc::default(),
            fillers: Arc::default(),
            stack_rules: Arc::default(),
            steadiness: Arc::default(),
            queue: Arc::default(),
            accounts: Arc::default(),
            directory: Arc::default(),
            renewing_tokens: Arc::default(),
        }
    }

    /// Takes up where the former life ended: routes, unfinished work, unsettled events, one look at every repository.
    ///
    /// # Errors
    /// When the database does not answer. Git and the engine may be away: that is retried later.
    pub async fn start(&self) -> Result<(), StoreError> {
        let now = self.house.ports.clock.now();
        self.house.store.supersede_running(patience::CUT, now).await?;
        self.bring_secrets().await?;
        self.renew_tokens().await?;
        self.board.rebuild().await?;
        self.spawn_measuring().await;
        // What still runs from a former life has been without walls since the machine was started.
        self.house.renew_walls().await?;
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

    /// Changes with every change of the environment; the value counts them.
    pub fn watch(&self, environment: EnvironmentId) -> watch::Receiver<u64> {
        self.board.watch(environment)
    }

    /// The routes in force.
    pub fn routes(&self) -> RouteTable {
        self.board.table()
    }

    /// Changes with every change of the routes; the value counts them.
    pub fn watch_routes(&self) -> watch::Receiver<u64> {
        self.board.tables()
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
        self.take(id).await?;
        self.house.store.event(id).await
    }

    /// Whoever has one of the tokens that there are now may look, and nobody else by one.
    ///
    /// # Errors
    /// When the database does not answer; then those of before let in.
    pub async fn renew_tokens(&self) -> Result<(), StoreError> {
        // One at a time: what was read earlier never takes the place of what was read later.
        let _alone = self.renewing_tokens.lock().await;
        self.house.ports.routes.know(self.house.store.known_tokens().await?);
        Ok(())
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
