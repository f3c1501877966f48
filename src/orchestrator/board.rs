//! The routes of all environments, and who wants to know when one changes.
//!
//! The table comes from the registry of environments: one that builds, failed or is gone still has an answer.
//! What is kept here in memory is a cache; [`Board::rebuild`] makes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use crate::domain::environment::{Environment, Intent, Phase};
use crate::domain::names::{EnvironmentId, RepoName};
use crate::domain::observed::Observed;
use crate::domain::readiness;
use crate::domain::route::{Answer, Page, Route, RouteTable, Scheme};
use crate::domain::time::Timestamp;
use crate::domain::visitors::Access;
use crate::store::{StoreError, StoredRoute};

use super::house::House;
use super::paths;

/// Makes route tables and publishes them.
pub struct Board {
    house: Arc<House>,
    shown: Mutex<BTreeMap<EnvironmentId, Shown>>,
    /// While containers are replaced: those that ran before, and may be asked as long as they do.
    holding: Mutex<BTreeMap<EnvironmentId, BTreeSet<String>>>,
    watches: Mutex<BTreeMap<EnvironmentId, watch::Sender<u64>>>,
    /// One look at an environment at a time: what was seen earlier never replaces what was seen later.
    looks: Mutex<BTreeMap<EnvironmentId, Arc<tokio::sync::Mutex<()>>>>,
    changes: Notify,
    tables: watch::Sender<u64>,
    /// Those whose change the forges were not told yet.
    untold: Mutex<BTreeSet<EnvironmentId>>,
    reports: Notify,
    /// Those that sleep and that no visit wakes, and until when.
    tired: Mutex<BTreeMap<EnvironmentId, Timestamp>>,
}

/// What the table says of one environment.
struct Shown {
    repo: RepoName,
    /// Of the row it was made from.
    version: i64,
    routes: Routes,
}

#[derive(Clone, Default)]
struct Routes {
    hosts: Vec<(String, Route)>,
    /// Until it was ready for the first time: which services it has is not known, each of their hosts is waited at.
    family: Option<(String, Route)>,
}

impl Board {
    pub(super) fn new(house: Arc<House>) -> Self {
        Self {
            house,
            shown: Mutex::default(),
            holding: Mutex::default(),
            watches: Mutex::default(),
            looks: Mutex::default(),
            changes: Notify::new(),
            tables: watch::Sender::new(0),
            untold: Mutex::default(),
            reports: Notify::new(),
            tired: Mutex::default(),
        }
    }

    /// Looks at every environment and publishes the whole table.
    pub(super) async fn rebuild(&self) -> Result<(), StoreError> {
        for environment in self.house.store.environments(true).await? {
            drop(self.look_at(&environment).await);
        }
        self.publish();
        Ok(())
    }

    /// Looks at one environment anew and publishes.
    pub(super) async fn refresh(&self, environment: &Environment) {
        drop(self.examine(environment).await);
    }

    /// The same; gives back what it saw, where it looked at the engine.
    pub(super) async fn examine(&self, environment: &Environment) -> Option<Observed> {
        let seen = self.look_at(environment).await;
        self.publish();
        self.tell(environment.id);
        seen
    }

    /// The same for several, published once.
    pub(super) async fn refresh_all(&self, environments: &[Environment]) {
        for environment in environments {
            self.look_at(environment).await;
        }
        self.publish();
        for environment in environments {
            self.tell(environment.id);
        }
    }

    /// Publishes the environment as it was just observed.
    pub(super) async fn show(&self, environment: &Environment, observed: Option<&Observed>) {
        let look = self.look(environment.id);
        let alone = look.lock().await;
        self.put(environment, observed).await;
        drop(alone);
        self.publish();
        self.tell(environment.id);
    }

    /// Requests wait while containers are replaced, until [`Board::release`]. Those that run now are asked as long as
    /// they run; the new ones only once they are ready.
    pub(super) async fn hold(&self, environment: &Environment, observed: Option<&Observed>) {
        let running = observed.map(|observed| observed.containers.iter().map(|it| it.id.clone()).collect());
        lock(&self.holding).insert(environment.id, running.unwrap_or_default());
        self.show(environment, observed).await;
    }

    /// Ends [`Board::hold`]; the next [`Board::show`] publishes it.
    pub(super) fn release(&self, environment: EnvironmentId) {
        lock(&self.holding).remove(&environment);
    }

    /// No visit wakes it until then; says whether that is news. The next look shows it.
    pub(super) fn tire(&self, environment: EnvironmentId, until: Timestamp) -> bool {
        lock(&self.tired).insert(environment, until).is_none()
    }

    /// Those whose time is over; [`Board::rest`] lets a visit wake them again.
    pub(super) fn rested(&self, now: Timestamp) -> Vec<EnvironmentId> {
        let tired = lock(&self.tired);
        tired.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect()
    }

    /// A visit wakes it again. The next look shows it.
    pub(super) fn rest(&self, environment: EnvironmentId) {
        lock(&self.tired).remove(&environment);
    }

    /// Reads the row and looks at the engine; when the engine does not answer, the routes stay as they are.
    async fn look_at(&self, environment: &Environment) -> Option<Observed> {
        let look = self.look(environment.id);
        let _alone = look.lock().await;
        let row = match self.house.store.environment(environment.id).await {
            Ok(row) => row,
            Err(error) => {
                self.house.room.complain(&error);
                return None;
            }
        };
        let environment = row?;
        if !environment.serving {
            self.put(&environment, None).await;
            return None;
        }
        match self.house.ports.engine.observe(&environment.project).await {
            Ok(observed) => {
                self.put(&environment, Some(&observed)).await;
                Some(observed)
            }
            Err(error) => {
                tracing::warn!(%error, environment.slug = %environment.slug, "the engine cannot be looked at");
                if !lock(&self.shown).contains_key(&environment.id) {
                    self.put(&environment, None).await;
                }
                None
            }
        }
    }

    async fn put(&self, environment: &Environment, observed: Option<&Observed>) {
        let routes = self.routes_of(environment, observed).await;
        let mut shown = lock(&self.shown);
        let is_news = shown.get(&environment.id).is_none_or(|shown| shown.version <= environment.version);
        if is_news {
            let (repo, version) = (environment.repo.clone(), environment.version);
            shown.insert(environment.id, Shown { repo, version, routes });
        }
    }

    fn look(&self, environment: EnvironmentId) -> Arc<tokio::sync::Mutex<()>> {
        lock(&self.looks).entry(environment).or_default().clone()
    }

    /// Changes with every change of the environment.
    pub(super) fn watch(&self, environment: EnvironmentId) -> watch::Receiver<u64> {
        lock(&self.watches).entry(environment).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Waits for a change of any environment; one that came since the last call counts. For one waiter.
    pub(super) async fn changed(&self) {
        self.changes.notified().await;
    }

    /// As [`Board::changed`], for whoever tells the forges: which environments they were.
    pub(super) async fn untold(&self) -> BTreeSet<EnvironmentId> {
        self.reports.notified().await;
        std::mem::take(&mut *lock(&self.untold))
    }

    /// Hosts whose service does not run, as it was last seen.
    pub(super) fn down(&self, environment: EnvironmentId) -> BTreeSet<String> {
        let shown = lock(&self.shown);
        let hosts = shown.get(&environment).into_iter().flat_map(|shown| &shown.routes.hosts);
        let is_down =
            |route: &Route| matches!(&route.answer, Answer::Page(page) if page.phase == Phase::Failed);
        hosts.filter(|(_, route)| is_down(route)).map(|(host, _)| host.clone()).collect()
    }

    /// Something of it changed that its routes do not show.
    pub(super) fn tell(&self, environment: EnvironmentId) {
        self.changes.notify_one();
        lock(&self.untold).insert(environment);
        self.reports.notify_one();
        let mut watches = lock(&self.watches);
        watches.retain(|_, watch| watch.receiver_count() > 0);
        if let Some(watch) = watches.get(&environment) {
            watch.send_modify(|changes| *changes += 1);
        }
    }

    /// Under the lock, so that no older table comes after a newer one.
    pub(super) fn publish(&self) {
        let shown = lock(&self.shown);
        self.house.ports.routes.publish(self.table_of(&shown));
        self.tables.send_modify(|tables| *tables += 1);
    }

    /// The table in force.
    pub(super) fn table(&self) -> RouteTable {
        self.table_of(&lock(&self.shown))
    }

    /// Counts the tables that were published.
    pub(super) fn tables(&self) -> watch::Receiver<u64> {
        self.tables.subscribe()
    }

    /// Who may look is as it is configured now.
    fn table_of(&self, shown: &BTreeMap<EnvironmentId, Shown>) -> RouteTable {
        let settings = self.house.settings();
        let (mut hosts, mut families) = (BTreeMap::new(), BTreeMap::new());
        for Shown { repo, routes, .. } in shown.values() {
            let access = settings.access(repo);
            let guarded = |(host, route): &(String, Route)| {
                (host.clone(), Route { access: access.clone(), ..route.clone() })
            };
            hosts.extend(routes.hosts.iter().map(guarded));
            families.extend(routes.family.iter().map(guarded));
        }
        RouteTable { hosts, families }
    }

    async fn routes_of(&self, environment: &Environment, observed: Option<&Observed>) -> Routes {
        let stored = match self.house.store.routes(environment.id).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, environment.slug = %environment.slug, "its routes cannot be read");
                let shown = lock(&self.shown);
                return shown.get(&environment.id).map(|shown| shown.routes.clone()).unwrap_or_default();
            }
        };
        let primary = self.house.settings().address.primary_host(&environment.slug);
        let waiting = || (primary.clone(), route_to(environment, String::new(), self.page(environment)));
        let family = stored.is_empty().then(waiting);
        let mut routes = Vec::new();
        for stored in &stored {
            routes.push((stored.clone(), self.route(environment, stored, observed).await));
        }
        let mut hosts = paths::joined(routes);
        if !stored.iter().any(|stored| stored.host == primary) {
            hosts.push(waiting());
        }
        Routes { hosts, family }
    }

    async fn route(
        &self,
        environment: &Environment,
        stored: &StoredRoute,
        observed: Option<&Observed>,
    ) -> Route {
        let service = stored.route.service.clone();
        let upstream = match observed {
            Some(observed) if environment.serving => {
                self.house.equipped(environment, &stored.route, observed).await
            }
            Some(_) | None => Ok(None),
        };
        let upstream = match upstream {
            Ok(upstream) => upstream,
            Err(why) => return route_to(environment, service, failed(why)),
        };
        let down = observed.and_then(|observed| readiness::why_down(&stored.route, observed));
        let held = lock(&self.holding).get(&environment.id).cloned();
        let answer = match (held, upstream, down) {
            _ if !environment.serving => self.page(environment),
            // Probed, but nothing for a browser.
            _ if stored.route.scheme == Scheme::Tcp => self.page(environment),
            (Some(before), upstream, _) => Answer::Replacing(
                upstream.and_then(|found| found.only(|container| before.contains(container))),
            ),
            (None, Some(upstream), _) => Answer::Proxy(upstream),
            (None, None, Some(why)) => failed(environment.reason.clone().unwrap_or(why)),
            // Its container restarts, or the engine does not say: it will be back.
            (None, None, None) => Answer::Replacing(None),
        };
        route_to(environment, service, answer)
    }

    fn page(&self, environment: &Environment) -> Answer {
        let outcome = match environment.intent {
            Intent::End { outcome, .. } => Some(outcome),
            Intent::Run { .. } | Intent::Wake | Intent::Repair | Intent::Sleep { .. } => None,
        };
        let is_tired = lock(&self.tired).contains_key(&environment.id);
        Answer::Page(Page { phase: environment.phase, reason: environment.reason.clone(), outcome, is_tired })
    }
}

fn failed(reason: String) -> Answer {
    Answer::Page(Page { phase: Phase::Failed, reason: Some(reason), outcome: None, is_tired: false })
}

fn route_to(environment: &Environment, service: String, answer: Answer) -> Route {
    Route {
        environment: environment.id,
        generation: environment.generation,
        name: environment.name(),
        service,
        paths: Vec::new(),
        // The narrowest, until it is published.
        access: Access::Token,
        answer,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
