//! Environments that nobody wants: put to sleep, and ended, when their time has come.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::environment::{Environment, Intent};
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::outsiders;
use crate::domain::rest::{self, Due, Rules, SleepMode};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

use super::Orchestrator;

const HOUR: Duration = Duration::from_secs(60 * 60);
/// When it is looked again whether an environment is still to blame for a full disk.
const LOOK_AT_BLAMED: Duration = Duration::from_secs(30);

/// What stacks say of themselves: read once for each generation, not at every look.
#[derive(Default)]
pub(super) struct StackRules {
    known: Mutex<BTreeMap<EnvironmentId, (Generation, OwnRules)>>,
}

/// What a stack says; what it is silent about is as its repository has it.
#[derive(Clone, Copy)]
struct OwnRules {
    sleep_after: Option<Duration>,
    expire_after: Option<Duration>,
    sleep: Option<SleepMode>,
}

impl StackRules {
    fn get(&self, environment: &Environment) -> Option<OwnRules> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (generation, rules) = known.get(&environment.id)?;
        (*generation == environment.settled_generation).then_some(*rules)
    }

    fn put(&self, environment: &Environment, rules: OwnRules) {
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
                let (sleep_after, expire_after, sleep) = (own.sleep_after, own.expire_after, own.sleep);
                let own = OwnRules { sleep_after, expire_after, sleep };
                self.stack_rules.put(environment, own);
                own
            }
        };
        let settings = self.house.settings();
        let given = settings.repositories.get(&environment.repo).map(|it| it.rest).unwrap_or_default();
        let sleep_after = own.sleep_after.or(given.sleep_after).filter(|after| !after.is_zero());
        let expire_after = own.expire_after.or(given.expire_after).filter(|after| !after.is_zero());
        Ok(Rules { sleep_after, expire_after, sleep: own.sleep.unwrap_or(given.sleep) })
    }

    /// Writes down who came since this was last done.
    ///
    /// # Errors
    /// When the database does not answer: then those visits are lost, and the next ones are not.
    pub async fn write_visits(&self) -> Result<(), StoreError> {
        let mut visits = self.house.ports.visitors.take_visits();
        visits.retain(|(environment, _)| !outsiders::is_outside(*environment));
        if visits.is_empty() { Ok(()) } else { self.house.store.visited(&visits).await }
    }

    /// What is due by the visits up to now.
    pub(super) async fn submit_rest(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write_visits().await?;
        self.look_after_tired(now).await?;
        let environments = self.house.store.environments(false).await?;
        self.stack_rules.keep_only(&environments);
        for environment in environments {
            let branch = environment.branch.clone();
            let kind = match rest::due(&environment, self.rest_rules(&environment).await?, now) {
                None => continue,
                // Somebody came while the others were looked at.
                Some(Due::Sleep(_)) if self.house.ports.visitors.presence(environment.id).is_somebody() => {
                    continue;
                }
                Some(Due::Sleep(why)) => EventKind::SleepRequested { branch, why, gives_way: true },
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
        if !matches!(environment.intent, Intent::Sleep { .. }) || self.is_tired(&environment).await? {
            return Ok(());
        }
        let kind = EventKind::WakeRequested { branch: environment.branch };
        let (source, repo) = (EventSource::Visit, environment.repo);
        self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
        Ok(())
    }

    /// Whether no visit wakes it at the moment; its pages say so from then on.
    async fn is_tired(&self, environment: &Environment) -> Result<bool, StoreError> {
        let now = self.house.ports.clock.now();
        // While the disk is full nobody wakes who filled it.
        if self.fillers.blamed() == Some(environment.id) {
            if self.board.tire(environment.id, now.plus(LOOK_AT_BLAMED)) {
                self.board.refresh(environment).await;
            }
            return Ok(true);
        }
        let Some(most) = self.house.settings().limits.wakes_per_hour else { return Ok(false) };
        let wakes = self.house.store.wakes_since(environment, now.minus(HOUR)).await?;
        // The one that is as many back: when it is an hour ago there is room for another.
        let Some(oldest) = wakes.len().checked_sub(most).and_then(|start| wakes.get(start)) else {
            return Ok(false);
        };
        let again = oldest.plus(HOUR);
        if self.board.tire(environment.id, again) {
            let reason = format!(
                "visits woke it {most} times within an hour (`limits.wakes_per_hour`); the next one does so after {again}, \
                 `drey env wake` at once"
            );
            let told = self.house.store.tell(environment, Some(&reason), now).await;
            let told = told.inspect_err(|_away| self.board.rest(environment.id))?;
            self.board.refresh(told.as_ref().unwrap_or(environment)).await;
        }
        Ok(true)
    }

    /// A visit wakes them again.
    async fn look_after_tired(&self, now: Timestamp) -> Result<(), StoreError> {
        for id in self.board.rested(now) {
            let Some(environment) = self.house.store.environment(id).await? else {
                self.board.rest(id);
                continue;
            };
            let told = match &environment.intent {
                Intent::Sleep { why, .. } => self.house.store.tell(&environment, Some(why), now).await?,
                Intent::Run { .. } | Intent::Wake | Intent::Repair | Intent::End { .. } => None,
            };
            self.board.rest(id);
            self.board.refresh(told.as_ref().unwrap_or(&environment)).await;
        }
        Ok(())
    }
}
