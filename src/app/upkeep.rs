//! What is done now and then, beside the work: old hostnames, mirrors, orphans.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::figures::FiguresHandle;
use super::leftovers::Leftovers;
use crate::adapters::git::{GitAdapter, Tidied};
use crate::domain::names::RepoName;
use crate::orchestrator::{House, Orchestrator};
use crate::ports::{PortResult, Volumes};
use crate::proxy::Proxy;

/// How often hostnames of ended environments whose hold is over are let go.
const HOLDS_EVERY: Duration = Duration::from_secs(3600);
/// How often what was measured is summed up.
const FIGURES_EVERY: Duration = Duration::from_secs(60);
/// How often mirrors are looked at; tidying one of them that needs it has a pause of its own.
const MIRRORS_EVERY: Duration = Duration::from_secs(30 * 60);

/// How often it is looked for what belongs to nobody any more.
const ORPHANS_EVERY: Duration = Duration::from_secs(3600);
/// Pause before an engine that did not answer is asked again at the start.
const SWEEP_AGAIN: Duration = Duration::from_secs(30);

pub(super) fn spawn(house: &Arc<House>, git: &Arc<GitAdapter>) {
    let this = house.clone();
    house.supervisor.spawn("holds", async move { end_holds(&this).await });
    let (this, git) = (house.clone(), git.clone());
    house.supervisor.spawn("mirrors", async move { tidy_mirrors(&this, &git).await });
}

/// Wakes what sleeps when somebody stands at its door.
pub(super) fn spawn_doorkeeper(orchestrator: &Orchestrator, proxy: &Proxy) {
    let Some(mut knocks) = proxy.knocks() else { return };
    let (this, supervisor) = (orchestrator.clone(), &orchestrator.house().supervisor);
    let draining = supervisor.draining();
    supervisor.spawn("doorkeeper", async move {
        loop {
            let knock = tokio::select! {
                () = draining.cancelled() => return,
                knock = knocks.recv() => knock,
            };
            let Some(environment) = knock else { return };
            if let Err(error) = this.knock(environment).await {
                tracing::error!(%error, environment.id = environment.0, "it cannot be woken");
            }
        }
    });
}

/// Removes once what a killed daemon left on the engine while it copied volumes; an engine that is away is asked again.
pub(super) fn spawn_sweep(house: &Arc<House>, volumes: Arc<dyn Volumes>) {
    let draining = house.supervisor.draining();
    house.supervisor.spawn("carriers", async move {
        while let Err(error) = volumes.sweep().await {
            tracing::warn!(%error, "what a former life left of copying volumes cannot be removed yet");
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(SWEEP_AGAIN) => {}
            }
        }
    });
}

/// Sums up now and then what was measured: else durations that nobody asks for would take more and more memory.
pub(super) fn spawn_figures(house: &Arc<House>, figures: FiguresHandle) {
    let draining = house.supervisor.draining();
    house.supervisor.spawn("figures", async move {
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(FIGURES_EVERY) => figures.tidy(),
            }
        }
    });
}

/// Removes what belongs to nobody any more, at the start and then each hour; what only may be drey's is told once.
pub(super) fn spawn_orphans(orchestrator: &Orchestrator, data_dir: &Path) {
    let (this, data_dir) = (orchestrator.clone(), data_dir.to_owned());
    orchestrator.house().supervisor.spawn("orphans", async move {
        let house = this.house().clone();
        let draining = house.supervisor.draining();
        let mut told = BTreeSet::new();
        loop {
            let unclear = this.clear_orphans().await;
            let pause = if unclear.is_some() { ORPHANS_EVERY } else { SWEEP_AGAIN };
            if let Some(lines) = unclear {
                for line in lines.iter().filter(|line| told.insert((*line).clone())) {
                    tracing::warn!(left = line, "on the engine, maybe drey's, and left alone");
                }
                let found = Leftovers { seen_at: house.ports.clock.now(), lines };
                if let Err(error) = found.write(&data_dir) {
                    tracing::warn!(%error, "leftovers.json cannot be written");
                }
            }
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}

async fn end_holds(house: &House) {
    let draining = house.supervisor.draining();
    loop {
        tokio::select! {
            () = draining.cancelled() => return,
            () = tokio::time::sleep(HOLDS_EVERY) => {}
        }
        if let Err(error) = house.store.end_holds(house.ports.clock.now()).await {
            tracing::error!(%error, "old hostnames cannot be let go");
        }
    }
}

/// One after the other; the daemon's end cuts it, which harms no mirror.
async fn tidy_mirrors(house: &House, git: &GitAdapter) {
    let draining = house.supervisor.draining();
    loop {
        tokio::select! {
            () = draining.cancelled() => return,
            () = tokio::time::sleep(MIRRORS_EVERY) => {}
        }
        for repo in house.settings().repositories.keys() {
            tokio::select! {
                () = draining.cancelled() => return,
                tidied = git.tidy(repo) => tell(repo, tidied),
            }
        }
    }
}

fn tell(repo: &RepoName, tidied: PortResult<Tidied>) {
    match tidied {
        Ok(Tidied::NotNow) => {}
        Ok(Tidied::Done) => tracing::info!(%repo, "the mirror is tidied"),
        Ok(Tidied::GaveWay) => tracing::debug!(%repo, "tidying the mirror gave way to a fetch"),
        Err(error) => tracing::warn!(%error, %repo, "the mirror is not tidied"),
    }
}
