//! Routes of containers that drey did not start: subscribe, then list, then list again and again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::domain::outsiders::{self, Allowed, Found, FoundPlace, OutsiderFault};
use crate::domain::time::Timestamp;

use super::Orchestrator;

/// From the opening of the stream to the list: the engine has the subscription by then.
const SETTLING: Duration = Duration::from_millis(250);
/// The engine is looked at when it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(100);
/// But not later than so long after the first word.
const LONGEST_UNREST: Duration = Duration::from_millis(500);
/// Pause before the stream is opened again after it ended.
const PAUSE: Duration = Duration::from_secs(2);

/// `[discovery]`, where it is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryRules {
    pub allowed: Allowed,
    /// How often all is listed, whatever the engine tells.
    pub poll_every: Duration,
}

/// What the last look came to, for people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DiscoveryState {
    pub enabled: bool,
    /// None before the first look that was answered.
    pub looked_at: Option<Timestamp>,
    /// Why the engine could not be looked at; what was found before still counts.
    pub away: Option<String>,
    pub routes: Vec<FoundPlace>,
    pub faults: Vec<OutsiderFault>,
}

/// What is known of containers that drey did not start.
#[derive(Default)]
pub(super) struct Discovery {
    state: Mutex<DiscoveryState>,
}

impl Discovery {
    fn with<T>(&self, work: impl FnOnce(&mut DiscoveryState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// When the next look is due.
struct Due {
    next: Instant,
    /// The first word since the last look.
    first: Option<Instant>,
}

impl Due {
    fn hear(&mut self, now: Instant) {
        let first = *self.first.get_or_insert(now);
        self.next = (now + QUIET).min(first + LONGEST_UNREST);
    }
}

impl Orchestrator {
    pub(super) fn spawn_discovery(&self) {
        if let Some(rules) = self.house.settings().discovery.clone() {
            self.discovery.with(|state| state.enabled = true);
            let this = self.clone();
            self.house.supervisor.spawn("discovery", async move { this.discover(&rules).await });
        }
    }

    /// What there is, and what of it environments keep for themselves.
    pub fn discovered(&self) -> DiscoveryState {
        let mut state = self.discovery.with(|state| state.clone());
        let hidden = self.board.hidden();
        let (lost, shown): (Vec<_>, Vec<_>) =
            state.routes.into_iter().partition(|it| hidden.contains(&it.host));
        state.routes = shown;
        state.faults.extend(lost.into_iter().map(|place| OutsiderFault {
            container: place.container,
            key: "labels".to_owned(),
            reason: format!(
                "{} belongs to an environment, which comes first; choose another name",
                place.host
            ),
        }));
        state
    }

    async fn discover(&self, rules: &DiscoveryRules) {
        let draining = self.house.supervisor.draining();
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = self.follow_outsiders(rules) => {}
            }
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Until the engine's stream ends.
    async fn follow_outsiders(&self, rules: &DiscoveryRules) {
        let (told, mut heard) = mpsc::channel::<()>(1);
        let mut stream = std::pin::pin!(self.house.ports.outsiders.stirs(told));
        let mut due = Due { next: Instant::now() + SETTLING, first: None };
        loop {
            tokio::select! {
                ended = &mut stream => {
                    tracing::debug!(?ended, "the engine's event stream ended");
                    return self.look_at_outsiders(rules).await;
                }
                Some(()) = heard.recv() => due.hear(Instant::now()),
                () = tokio::time::sleep_until(due.next) => {
                    self.look_at_outsiders(rules).await;
                    due = Due { next: Instant::now() + rules.poll_every, first: None };
                }
            }
        }
    }

    async fn look_at_outsiders(&self, rules: &DiscoveryRules) {
        let containers = match self.house.ports.outsiders.outsiders().await {
            Ok(containers) => containers,
            Err(error) => {
                let is_news = self.discovery.with(|state| state.away.replace(error.to_string()).is_none());
                if is_news {
                    tracing::warn!(%error, "containers cannot be discovered; what was found before still counts");
                }
                return;
            }
        };
        let Found { routes, places, faults } = outsiders::judge(&containers, &rules.allowed);
        let now = self.house.ports.clock.now();
        let news: Vec<OutsiderFault> = self.discovery.with(|state| {
            let known: BTreeSet<&OutsiderFault> = state.faults.iter().collect();
            let news = faults.iter().filter(|fault| !known.contains(fault)).cloned().collect();
            *state =
                DiscoveryState { enabled: true, looked_at: Some(now), away: None, routes: places, faults };
            news
        });
        for OutsiderFault { container, key, reason } in news {
            tracing::warn!(container.name = %container, label = %key, %reason, "a container is not routed");
        }
        self.board.put_outsiders(routes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_words_are_one_look_and_unrest_does_not_put_it_off_for_long() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut due = Due { next: at(30_000), first: None };
        due.hear(begin);
        assert_eq!(due.next, at(100));
        for millis in (0..=1000).step_by(50) {
            due.hear(at(millis));
        }
        assert_eq!(due.next, at(500));
    }
}
