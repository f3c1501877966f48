//! What is done now and then, beside the work: visits, old hostnames, mirrors.

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::git::{GitAdapter, Tidied};
use crate::domain::names::RepoName;
use crate::orchestrator::{House, Orchestrator};
use crate::ports::{PortResult, Volumes};
use crate::proxy::Proxy;

/// How often visits are written down.
const VISITS_EVERY: Duration = Duration::from_secs(10);
/// How often hostnames of ended environments whose hold is over are let go.
const HOLDS_EVERY: Duration = Duration::from_secs(3600);
/// How often mirrors are looked at; tidying one of them that needs it has a pause of its own.
const MIRRORS_EVERY: Duration = Duration::from_secs(30 * 60);

/// Pause before an engine that did not answer is asked again at the start.
const SWEEP_AGAIN: Duration = Duration::from_secs(30);

pub(super) fn spawn(house: &Arc<House>, proxy: &Arc<Proxy>, git: &Arc<GitAdapter>) {
    let (this, proxy) = (house.clone(), proxy.clone());
    house.supervisor.spawn("visits", async move { write_visits(&this, &proxy).await });
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

async fn write_visits(house: &House, proxy: &Proxy) {
    let draining = house.supervisor.draining();
    let mut ticks: u64 = 0;
    loop {
        tokio::select! {
            () = draining.cancelled() => return,
            () = tokio::time::sleep(VISITS_EVERY) => {}
        }
        let visits = proxy.take_visits();
        if !visits.is_empty()
            && let Err(error) = house.store.visited(&visits).await
        {
            tracing::error!(%error, "visits cannot be written down");
        }
        ticks += 1;
        if ticks.is_multiple_of(HOLDS_EVERY.as_secs() / VISITS_EVERY.as_secs())
            && let Err(error) = house.store.end_holds(house.ports.clock.now()).await
        {
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
