//! The configuration from wherever it lies, and news of it while the daemon runs.

use std::path::Path;
use std::time::Duration;

use tokio::sync::Notify;

use super::runtime::block_on;
use crate::adapters::etcd::Etcd;
use crate::config::{ConfigErrors, Fault, Settings, Stored};

/// How often a store is asked, although it tells of changes by itself: a line that died silently tells nothing.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// Pause before a store that is away is asked again, and after each of its words.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads what `path`, else the environment, names: a file, a text, or a key of etcd.
///
/// # Errors
/// Every fault there is, each with its key, its origin and the way out.
pub fn load(path: Option<&Path>) -> Result<Settings, ConfigErrors> {
    judged(examine(path))
}

/// The same, with all faults: what is faulty has its default.
pub fn examine(path: Option<&Path>) -> (Settings, Vec<Fault>) {
    match Settings::store_named(path) {
        Some(address) => block_on(stored(&address)),
        None => Settings::examine(path),
    }
}

/// From where these came.
pub(super) async fn read_again(settings: &Settings) -> Result<Settings, ConfigErrors> {
    match &settings.store {
        Some(store) => judged(stored(&store.address).await),
        None => Settings::load(settings.file.as_deref()),
    }
}

async fn stored(address: &str) -> (Settings, Vec<Fault>) {
    let text = match Etcd::parse(address) {
        Ok(etcd) => etcd.get().await.map(|held| held.text),
        Err(why) => Err(why),
    };
    Settings::from_store(address, text)
}

fn judged((settings, faults): (Settings, Vec<Fault>)) -> Result<Settings, ConfigErrors> {
    if faults.is_empty() { Ok(settings) } else { Err(ConfigErrors(faults)) }
}

/// Tells each change of the store; while it is away, nothing: what is in force stays.
pub(super) async fn watch(store: Stored, changed: &Notify) {
    let Ok(etcd) = Etcd::parse(&store.address) else { return };
    let mut watched = Watched { etcd, store, is_away: false };
    loop {
        if let Some(revision) = watched.look(changed).await {
            tokio::select! {
                told = watched.etcd.changed_after(revision) => tracing::debug!(?told, "news of the store"),
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A store with what it said last.
struct Watched {
    etcd: Etcd,
    store: Stored,
    is_away: bool,
}

impl Watched {
    /// Tells whether there is something new; the revision from which on changes are waited for, where it answers.
    async fn look(&mut self, changed: &Notify) -> Option<i64> {
        match self.etcd.get().await {
            Ok(held) => {
                self.answers();
                if held.text != self.store.text {
                    self.store.text = held.text;
                    changed.notify_one();
                }
                Some(held.revision)
            }
            Err(why) => {
                self.is_silent(&why);
                None
            }
        }
    }

    fn answers(&mut self) {
        if std::mem::take(&mut self.is_away) {
            tracing::info!(store = self.store.address, "the store of the configuration answers again");
        }
    }

    fn is_silent(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(store = self.store.address, why, "the configuration stays as it is");
        }
    }
}
