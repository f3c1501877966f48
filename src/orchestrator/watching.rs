//! The engine as the truth about containers: subscribe, then list, then compare again and again. What the engine tells is a
//! hint to look; that its stream ends means that nothing is known of what happened meanwhile, and everything is looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::domain::names::ProjectName;
use crate::ports::meters;

use super::Orchestrator;
use super::trouble::Watcher;

/// How often all is listed, whatever the engine tells.
const LIST_EVERY: Duration = Duration::from_secs(30);
/// From the opening of the stream to the list: the engine has the subscription by then.
const SETTLING: Duration = Duration::from_millis(250);
/// Pause before the stream is opened again after it ended, and before an engine that is away is asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// An environment is looked at when the engine has been quiet about it for so long.
const QUIET: Duration = Duration::from_millis(100);
/// But not later than so long after the first word.
const LONGEST_UNREST: Duration = Duration::from_secs(1);
/// Messages of the engine on their way.
const BUFFER: usize = 256;

impl Orchestrator {
    pub(super) fn spawn_watching(&self) {
        let news = Arc::new(News::default());
        let (this, told) = (self.clone(), news.clone());
        self.house.supervisor.spawn("engine events", async move { this.follow_engine(&told).await });
        let this = self.clone();
        self.house.supervisor.spawn("engine", async move { this.watch_engine(&news).await });
    }

    async fn follow_engine(&self, news: &News) {
        let draining = self.house.supervisor.draining();
        let prefix = ProjectName::prefix(self.house.store.instance());
        loop {
            news.everything(Instant::now() + SETTLING);
            self.directory.heard_nothing();
            let (told, mut heard) = mpsc::channel::<ProjectName>(BUFFER);
            let take = async {
                while let Some(project) = heard.recv().await {
                    self.directory.heard(&project);
                    news.hear(project, Instant::now());
                }
            };
            let stream = async { tokio::join!(self.house.ports.watch.drifts(&prefix, told), take) };
            tokio::select! {
                () = draining.cancelled() => return,
                (ended, ()) = stream => tracing::debug!(?ended, "the engine's event stream ended"),
            }
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn watch_engine(&self, news: &News) {
        let draining = self.house.supervisor.draining();
        let mut watcher = Watcher::new(self.clone());
        let mut next_list = Instant::now() + LIST_EVERY;
        loop {
            let next = [Some(next_list), news.next(), watcher.next()].into_iter().flatten().min();
            tokio::select! {
                () = draining.cancelled() => return,
                () = news.changed.notified() => continue,
                () = tokio::time::sleep_until(next.unwrap_or(next_list)) => {}
            }
            let now = Instant::now();
            let everything = news.take_everything(now);
            if everything || now >= next_list {
                let measured = meters::reconcile();
                let is_there = watcher.list(everything).await;
                drop(measured);
                next_list = Instant::now() + if is_there { LIST_EVERY } else { PAUSE };
            }
            watcher.look(news.take(now)).await;
        }
    }
}

/// What the engine told and nobody looked into yet.
#[derive(Default)]
struct News {
    heard: Mutex<Heard>,
    changed: Notify,
}

#[derive(Default)]
struct Heard {
    /// Project → the first and the last word about it.
    projects: BTreeMap<ProjectName, (Instant, Instant)>,
    everything: Option<Instant>,
}

impl News {
    fn hear(&self, project: ProjectName, now: Instant) {
        self.with(|heard| heard.projects.entry(project).or_insert((now, now)).1 = now);
        self.changed.notify_one();
    }

    fn everything(&self, at: Instant) {
        self.with(|heard| heard.everything = Some(at));
        self.changed.notify_one();
    }

    fn next(&self) -> Option<Instant> {
        self.with(|heard| heard.projects.values().map(due).chain(heard.everything).min())
    }

    fn take(&self, now: Instant) -> Vec<ProjectName> {
        self.with(|heard| {
            let ready: Vec<ProjectName> = heard
                .projects
                .iter()
                .filter(|(_, times)| due(times) <= now)
                .map(|(it, _)| it.clone())
                .collect();
            heard.projects.retain(|project, _| !ready.contains(project));
            ready
        })
    }

    fn take_everything(&self, now: Instant) -> bool {
        self.with(|heard| heard.everything.take_if(|at| *at <= now).is_some())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Heard) -> T) -> T {
        work(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn due((first, last): &(Instant, Instant)) -> Instant {
    (*last + QUIET).min(*first + LONGEST_UNREST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_words_are_one_look_and_unrest_does_not_put_it_off_for_long() {
        let news = News::default();
        let project = ProjectName::from_stored("drey-abc123-1-x".to_owned());
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        for millis in (0..=2000).step_by(50) {
            news.hear(project.clone(), at(millis));
            let taken = news.take(at(millis));
            assert_eq!(taken.is_empty(), millis != 1000, "{millis}: {taken:?}");
            if millis == 1000 {
                break;
            }
        }
        assert_eq!(news.next(), None);
        news.hear(project.clone(), at(3000));
        assert_eq!(news.next(), Some(at(3100)));
        assert_eq!((news.take(at(3099)), news.take(at(3100))), (Vec::new(), vec![project]));
        news.everything(at(4000));
        assert!(!news.take_everything(at(3999)) && news.take_everything(at(4000)));
        assert!(!news.take_everything(at(5000)));
    }
}
