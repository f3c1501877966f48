//! Environments that nobody wants: put to sleep, and ended, when their time has come.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::environment::{Environment, Intent};
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::rest::{self, Due, Rules};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

use super::Orchestrator;

/// What stacks say of themselves: read once for each generation, not at every look.
#[derive(Default)]
pub(super) struct StackRules {
    known: Mutex<BTreeMap<EnvironmentId, (Generation, Rules)>>,
}

impl StackRules {
    fn get(&self, environment: &Environment) -> Option<Rules> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (generation, rules) = known.get(&environment.id)?;
        (*generation == environment.settled_generation).then_some(*rules)
    }

    fn put(&self, environment: &Environment, rules: Rules) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(environment.id, (environment.settled_generation, rules));
    }

    fn keep_only(&self, environments: &[Environment]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| environments.iter().any(|environment| environment.id == *id));
    }
}

impl Orchestrator {
    /// How long this environment stays without a visit or a push: its stack's word, else its repository's.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rest_rules(&self, environment: &Environment) -> Result<Rules, StoreError> {
        let own = match self.stack_rules.get(environment) {
            Some(own) => own,
            None => {
                let own = self.house.store.stack_settings(environment.id).await?;
                let own = Rules { sleep_after: own.sleep_after, expire_after: own.expire_after };
                self.stack_rules.put(environment, own);
                own
            }
        };
        let settings = self.house.settings();
        let given = settings.repositories.get(&environment.repo).map(|it| it.rest).unwrap_or_default();
        let sleep_after = own.sleep_after.or(given.sleep_after).filter(|after| !after.is_zero());
        let expire_after = own.expire_after.or(given.expire_after).filter(|after| !after.is_zero());
        Ok(Rules { sleep_after, expire_after })
    }

    pub(super) async fn submit_rest(&self, now: Timestamp) -> Result<(), StoreError> {
        let environments = self.house.store.environments(false).await?;
        self.stack_rules.keep_only(&environments);
        for environment in environments {
            let branch = environment.branch.clone();
            let kind = match rest::due(&environment, self.rest_rules(&environment).await?, now) {
                None => continue,
                Some(Due::Sleep(why)) => EventKind::SleepRequested { branch, why },
                Some(Due::Expire(why)) => EventKind::Expired { branch, why },
            };
            let (source, repo) = (EventSource::Timer, environment.repo);
            self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
        }
        Ok(())
    }

    /// Somebody stands at the door of an environment; it is woken where it sleeps.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn knock(&self, id: EnvironmentId) -> Result<(), StoreError> {
        let Some(environment) = self.house.store.environment(id).await? else { return Ok(()) };
        // While the disk is full nobody wakes who filled it.
        if !matches!(environment.intent, Intent::Sleep { .. }) || self.fillers.blamed() == Some(id) {
            return Ok(());
        }
        let kind = EventKind::WakeRequested { branch: environment.branch };
        let (source, repo) = (EventSource::Visit, environment.repo);
        self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
        Ok(())
    }
}
