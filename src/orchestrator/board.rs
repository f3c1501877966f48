//! The routes of all environments, and who wants to know when one changes.
//!
//! The table comes from the registry of environments: one that builds, failed or is gone still has an answer.
//! What is kept here in memory is a cache; [`Board::rebuild`] makes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::domain::environment::{Environment, Intent};
use crate::domain::names::{EnvironmentId, ProjectName};
use crate::domain::observed::Observed;
use crate::domain::readiness;
use crate::domain::route::{Answer, Page, Route, RouteTable, Scheme};
use crate::store::{StoreError, StoredRoute};

use super::house::House;

/// Makes route tables and publishes them.
pub struct Board {
    house: Arc<House>,
    routes: Mutex<BTreeMap<EnvironmentId, Vec<(String, Route)>>>,
    holding: Mutex<BTreeSet<EnvironmentId>>,
    watches: Mutex<BTreeMap<EnvironmentId, watch::Sender<u64>>>,
}

impl Board {
    pub(super) fn new(house: Arc<House>) -> Self {
        Self { house, routes: Mutex::default(), holding: Mutex::default(), watches: Mutex::default() }
    }

    /// Makes the whole table anew from the database and the engine.
    pub(super) async fn rebuild(&self) -> Result<(), StoreError> {
        let environments = self.house.store.environments(true).await?;
        let mut routes = BTreeMap::new();
        for environment in &environments {
            let observed = self.observe(environment).await;
            routes.insert(environment.id, self.routes_of(environment, observed.as_ref()).await);
        }
        *lock(&self.routes) = routes;
        self.publish();
        Ok(())
    }

    /// Looks at one environment anew and publishes.
    pub(super) async fn refresh(&self, environment: &Environment) {
        let observed = self.observe(environment).await;
        self.show(environment, observed.as_ref()).await;
    }

    /// Publishes the environment as it was just observed.
    pub(super) async fn show(&self, environment: &Environment, observed: Option<&Observed>) {
        let routes = self.routes_of(environment, observed).await;
        lock(&self.routes).insert(environment.id, routes);
        self.publish();
        self.tell(environment.id);
    }

    /// Requests wait while containers are replaced, until [`Board::release`].
    pub(super) async fn hold(&self, environment: &Environment, observed: Option<&Observed>) {
        lock(&self.holding).insert(environment.id);
        self.show(environment, observed).await;
    }

    /// Ends [`Board::hold`]; the next [`Board::show`] publishes it.
    pub(super) fn release(&self, environment: EnvironmentId) {
        lock(&self.holding).remove(&environment);
    }

    pub(super) async fn refresh_project(&self, project: &ProjectName) {
        let environments = match self.house.store.environments(false).await {
            Ok(environments) => environments,
            Err(error) => {
                tracing::error!(%error, "the database does not answer");
                return;
            }
        };
        if let Some(environment) =
            environments.into_iter().find(|environment| environment.project == *project)
            && environment.serving
        {
            self.refresh(&environment).await;
        }
    }

    /// Changes with every change of the environment.
    pub(super) fn watch(&self, environment: EnvironmentId) -> watch::Receiver<u64> {
        lock(&self.watches).entry(environment).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    fn tell(&self, environment: EnvironmentId) {
        let mut watches = lock(&self.watches);
        watches.retain(|_, watch| watch.receiver_count() > 0);
        if let Some(watch) = watches.get(&environment) {
            watch.send_modify(|changes| *changes += 1);
        }
    }

    fn publish(&self) {
        let hosts = lock(&self.routes).values().flatten().cloned().collect();
        self.house.ports.routes.publish(RouteTable { hosts });
    }

    async fn observe(&self, environment: &Environment) -> Option<Observed> {
        if !environment.serving {
            return None;
        }
        match self.house.ports.engine.observe(&environment.project).await {
            Ok(observed) => Some(observed),
            Err(error) => {
                tracing::warn!(%error, environment.slug = %environment.slug, "the engine cannot be looked at");
                None
            }
        }
    }

    async fn routes_of(
        &self,
        environment: &Environment,
        observed: Option<&Observed>,
    ) -> Vec<(String, Route)> {
        let stored = match self.house.store.routes(environment.id).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, environment.slug = %environment.slug, "its routes cannot be read");
                return lock(&self.routes).get(&environment.id).cloned().unwrap_or_default();
            }
        };
        let primary = self.house.settings.address.primary_host(&environment.slug);
        let mut routes: Vec<(String, Route)> = stored
            .iter()
            .map(|stored| (stored.host.clone(), self.route(environment, stored, observed)))
            .collect();
        if !stored.iter().any(|stored| stored.host == primary) {
            routes.push((primary, route_to(environment, String::new(), page(environment))));
        }
        routes
    }

    fn route(&self, environment: &Environment, stored: &StoredRoute, observed: Option<&Observed>) -> Route {
        let upstream = observed.and_then(|observed| readiness::upstream(&stored.route, observed));
        let held = lock(&self.holding).contains(&environment.id);
        let answer = match (environment.serving, upstream) {
            (false, _) => page(environment),
            // Probed, but nothing for a browser.
            (true, _) if stored.route.scheme == Scheme::Tcp => page(environment),
            (true, Some(upstream)) if !held => Answer::Proxy(upstream),
            // Its container restarts or is being replaced: it will be back.
            (true, upstream) => Answer::Replacing(upstream),
        };
        route_to(environment, stored.route.service.clone(), answer)
    }
}

fn route_to(environment: &Environment, service: String, answer: Answer) -> Route {
    Route {
        environment: environment.id,
        generation: environment.generation,
        name: environment.name(),
        service,
        answer,
    }
}

fn page(environment: &Environment) -> Answer {
    let outcome = match environment.intent {
        Intent::End { outcome, .. } => Some(outcome),
        Intent::Run { .. } => None,
    };
    Answer::Page(Page { phase: environment.phase, reason: environment.reason.clone(), outcome })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
