//! The service directory: what runs for whom, as the engine told it last. Each environment is asked about once, and again
//! only after the engine told of it: a container's death is known as soon as the event is there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use crate::domain::directory::{self, Entry, Listed};
use crate::domain::environment::Environment;
use crate::domain::names::ProjectName;
use crate::ports::PortError;
use crate::store::StoreError;

use super::Orchestrator;
use super::house::House;

/// What was told longer ago is asked again: an event may be lost.
const OLDEST: Duration = Duration::from_secs(30);
/// Environments that are asked about at once.
const AT_ONCE: usize = 8;

/// Why the directory cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] PortError),
}

/// What the engine told, until it tells that something happened.
#[derive(Default)]
pub(super) struct Directory(Mutex<Known>);

#[derive(Default)]
struct Known {
    listed: BTreeMap<ProjectName, (Instant, Vec<Listed>)>,
    /// Counts what the engine told: an answer that was under way meanwhile is not kept.
    news: u64,
}

impl Directory {
    /// Something happened to it.
    pub(super) fn heard(&self, project: &ProjectName) {
        self.with(|known| {
            known.news += 1;
            known.listed.remove(project);
        });
    }

    /// What happened meanwhile was not told.
    pub(super) fn heard_nothing(&self) {
        self.with(|known| {
            known.news += 1;
            known.listed.clear();
        });
    }

    async fn of(&self, house: &House, project: &ProjectName) -> Result<Vec<Listed>, PortError> {
        let now = Instant::now();
        let (kept, news) = self.with(|known| {
            let kept = known.listed.get(project).filter(|(at, _)| now.duration_since(*at) < OLDEST);
            (kept.map(|(_, listed)| listed.clone()), known.news)
        });
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let listed = house.ports.catalogue.listed(project).await?;
        self.with(|known| {
            if known.news == news {
                known.listed.insert(project.clone(), (now, listed.clone()));
            }
        });
        Ok(listed)
    }

    /// Forgets those that are older than anybody would take.
    fn tidy(&self) {
        let now = Instant::now();
        self.with(|known| known.listed.retain(|_, (at, _)| now.duration_since(*at) < OLDEST));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Orchestrator {
    /// Every container of every live environment that passes, in order.
    ///
    /// # Errors
    /// When the database or the engine does not answer: half a directory would look like containers that ended.
    pub async fn directory(
        &self,
        passes: impl Fn(&Environment) -> bool,
    ) -> Result<Vec<Entry>, DirectoryError> {
        self.directory.tidy();
        let live = self.house.store.environments(false).await?;
        let asked = live.into_iter().filter(|environment| passes(environment));
        let entries: Vec<Vec<Entry>> =
            stream::iter(asked).map(|it| self.entries(it)).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut entries: Vec<Entry> = entries.into_iter().flatten().collect();
        entries.sort_by_cached_key(Entry::place);
        Ok(entries)
    }

    async fn entries(&self, environment: Environment) -> Result<Vec<Entry>, DirectoryError> {
        let stored = self.house.store.routes(environment.id).await?;
        let settings = self.house.settings();
        // The first of a service's names stays.
        let urls = stored.iter().rev().map(|it| (it.route.service.clone(), settings.address.url_of(it)));
        let urls = urls.collect();
        let routes: Vec<_> = stored.into_iter().map(|it| it.route).collect();
        let listed = self.directory.of(&self.house, &environment.project).await?;
        Ok(directory::entries(&environment, &listed, &routes, &urls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_tells_of_is_forgotten_and_nothing_else() {
        let directory = Directory::default();
        let project = |name: &str| ProjectName::from_stored(name.to_owned());
        let kept = |directory: &Directory| directory.with(|known| known.listed.len());
        for name in ["drey-a-1-x", "drey-a-2-y"] {
            directory.with(|known| known.listed.insert(project(name), (Instant::now(), Vec::new())));
        }
        directory.heard(&project("drey-a-1-x"));
        assert_eq!(kept(&directory), 1);
        assert_eq!(directory.with(|known| known.news), 1);
        directory.heard_nothing();
        assert_eq!(kept(&directory), 0);
    }
}
