//! The waiting room: who wants to run and has no place yet. `domain::places` decides, in the order in which they came.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::domain::environment::{Environment, Intent};
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::EnvironmentId;
use crate::domain::places::{self, Asking, Rules, Tenant, Verdict, WhenFull};
use crate::store::StoreError;

use super::Orchestrator;

/// How often those who wait are looked at without anything having happened: time alone makes places free, too.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Who was let in, and who waits.
#[derive(Default)]
pub(super) struct Places {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    let_in: BTreeSet<EnvironmentId>,
    row: Vec<Waiting>,
}

struct Waiting {
    asking: Asking,
    /// Dropped by one who does not wait any more.
    enter: oneshot::Sender<()>,
    /// Somebody stands at the door of what sleeps: it comes before those whom nobody visits yet.
    is_visited: bool,
    told: Option<String>,
}

impl Places {
    /// Returns when the environment may run; at once where it needs no place or has one.
    pub(super) async fn enter(&self, environment: &Environment, rules: &Rules) {
        if !environment.intent.runs() {
            return;
        }
        let may_enter = {
            let mut state = self.lock();
            if rules.are_none() || places::is_awake(environment) || state.let_in.contains(&environment.id) {
                state.let_in.insert(environment.id);
                return;
            }
            let (enter, may_enter) = oneshot::channel();
            let (id, repo, name) = (environment.id, environment.repo.clone(), environment.name());
            let is_visited = matches!(environment.intent, Intent::Wake);
            let before = |other: &Waiting| other.is_visited || !is_visited;
            let place = state.row.iter().take_while(|other| before(other)).count();
            state
                .row
                .insert(place, Waiting { asking: Asking { id, repo, name }, enter, is_visited, told: None });
            may_enter
        };
        self.changed.notify_one();
        if may_enter.await.is_err() {
            // The row was given up with the daemon: nothing begins any more.
            std::future::pending::<()>().await;
        }
    }

    /// Its worker rests: from now on its row says whether it has a place.
    pub(super) fn leave(&self, environment: EnvironmentId) {
        let is_awaited = {
            let mut state = self.lock();
            state.let_in.remove(&environment);
            !state.row.is_empty()
        };
        if is_awaited {
            self.changed.notify_one();
        }
    }

    /// There may be more places now.
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who wait, less those who gave it up, and those who were let in.
    fn look(&self) -> (Vec<Asking>, BTreeSet<EnvironmentId>) {
        let mut state = self.lock();
        state.row.retain(|waiting| !waiting.enter.is_closed());
        (state.row.iter().map(|waiting| waiting.asking.clone()).collect(), state.let_in.clone())
    }

    fn let_in(&self, id: EnvironmentId) {
        let mut state = self.lock();
        if let Some(place) = state.row.iter().position(|waiting| waiting.asking.id == id) {
            let waiting = state.row.remove(place);
            if waiting.enter.send(()).is_ok() {
                state.let_in.insert(id);
            }
        }
    }

    /// Whether this is another reason than what was told last.
    fn is_news(&self, id: EnvironmentId, reason: &str) -> bool {
        let mut state = self.lock();
        let Some(waiting) = state.row.iter_mut().find(|waiting| waiting.asking.id == id) else {
            return false;
        };
        let is_news = waiting.told.as_deref() != Some(reason);
        waiting.told = Some(reason.to_owned());
        is_news
    }
}

impl Orchestrator {
    pub(super) async fn keep_places(&self) {
        let draining = self.house.supervisor.draining();
        let places = &self.dispatch.places;
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = places.changed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY), if !places.lock().row.is_empty() => {}
            }
            if let Err(error) = self.give_places().await {
                self.house.room.complain(&error);
            }
        }
    }

    async fn give_places(&self) -> Result<(), StoreError> {
        let places = &self.dispatch.places;
        let (asking, let_in) = places.look();
        if asking.is_empty() {
            return Ok(());
        }
        let environments = self.house.store.environments(false).await?;
        let tenants: Vec<Tenant> =
            environments.iter().filter_map(|it| Tenant::of(it, let_in.contains(&it.id))).collect();
        let settings = self.house.settings();
        let verdicts = places::decide(&asking, &tenants, &settings.places, self.house.ports.clock.now());
        for (one, verdict) in asking.iter().zip(verdicts) {
            let wait = match verdict {
                Verdict::Enter => {
                    places.let_in(one.id);
                    continue;
                }
                Verdict::Wait(reason) => reason,
                Verdict::MakeRoom { of, why } => {
                    let reason =
                        format!("waiting for a place: that of {} becomes free", named(&environments, of));
                    self.send_away(&environments, of, why, settings.places.when_full).await?;
                    reason
                }
            };
            if places.is_news(one.id, &wait) {
                self.tell_waiting(one.id, wait).await?;
            }
        }
        Ok(())
    }

    async fn send_away(
        &self,
        environments: &[Environment],
        id: EnvironmentId,
        why: String,
        when_full: WhenFull,
    ) -> Result<(), StoreError> {
        let Some(environment) = environments.iter().find(|environment| environment.id == id) else {
            return Ok(());
        };
        let branch = environment.branch.clone();
        let kind = match when_full {
            WhenFull::ArchiveOldest => EventKind::Expired { branch, why },
            WhenFull::SleepOldest | WhenFull::Wait => {
                EventKind::SleepRequested { branch, why, gives_way: false }
            }
        };
        let (source, repo) = (EventSource::Timer, environment.repo.clone());
        self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
        Ok(())
    }

    async fn tell_waiting(&self, id: EnvironmentId, reason: String) -> Result<(), StoreError> {
        let Some(environment) = self.house.store.environment(id).await? else { return Ok(()) };
        let now = self.house.ports.clock.now();
        let told = self.house.store.tell(&environment, Some(&reason), now).await?;
        if let Some(environment) = told {
            self.board.refresh(&environment).await;
        }
        Ok(())
    }
}

fn named(environments: &[Environment], id: EnvironmentId) -> String {
    environments.iter().find(|environment| environment.id == id).map(Environment::name).unwrap_or_default()
}
