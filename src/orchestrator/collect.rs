//! Removes what nothing needs any more: on a timer, and at once when a disk is nearly full. Each thing has its rule, and a
//! line in the log when it goes.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use crate::domain::leftovers::{self, LogFile};
use crate::domain::names::EnvironmentId;
use crate::ports::Resource;

use super::Orchestrator;
use super::failure::Failure;
use super::images::ImageShop;

/// The first collection waits for what the start has to do; also the most by which one comes earlier than `[gc] every`.
const SETTLING: Duration = Duration::from_secs(60);
/// What nobody has touched for so long nobody is working on.
const HALF_MADE_FOR: Duration = Duration::from_secs(60 * 60);

impl Orchestrator {
    pub(super) fn spawn_collecting(&self) {
        let (this, draining) = (self.clone(), self.house.supervisor.draining());
        self.house.supervisor.spawn("collecting", async move {
            let mut pause = SETTLING;
            loop {
                tokio::select! {
                    () = draining.cancelled() => return,
                    () = sleep(pause) => {}
                }
                this.collect(false).await;
                pause = this.next_collection();
            }
        });
    }

    /// Somewhere between nine tenths of the time and the whole of it: several daemons do not keep the same beat.
    fn next_collection(&self) -> Duration {
        let every = self.house.settings().collect_every;
        let jitter = self.house.ports.clock.now().as_millis().rem_euclid(100);
        every - (every / 1000).saturating_mul(u32::try_from(jitter).unwrap_or(0))
    }

    /// A disk is nearly full: what can be made anew goes, whatever its age.
    pub(super) fn need_room(&self) {
        let this = self.clone();
        self.house.supervisor.spawn("making room", async move { this.collect(true).await });
    }

    /// One round. What fails is told and comes again with the next; nothing is removed that is needed, so it may run at any time
    /// and twice at once.
    pub async fn collect(&self, in_need: bool) {
        let _one_at_a_time = self.collecting.lock().await;
        let told = |what: &str, result: Result<(), Failure>| {
            if let Err(failure) = result {
                tracing::warn!(%failure, what, "what is not needed any more cannot be removed now");
            }
        };
        told("folders", self.collect_folders().await);
        told("logs", self.collect_logs(in_need).await);
        told("images", self.shop.collect().await);
        told("build cache", self.collect_build_cache(in_need).await);
        if let Err(error) = self.retain().await {
            told("archives", Err(error.into()));
        }
        told("database", self.collect_rows().await);
    }

    /// Of environments that are over nothing is left on the disk; of the others no half of a checkout.
    async fn collect_folders(&self) -> Result<(), Failure> {
        let folders = &self.house.ports.folders;
        for id in folders.environments().await? {
            self.collect_folder(id).await?;
        }
        for path in folders.remove_half_made(&self.idle().await?, HALF_MADE_FOR).await? {
            tracing::info!(path, "what a former life left half made is removed");
        }
        Ok(())
    }

    async fn collect_folder(&self, id: EnvironmentId) -> Result<(), Failure> {
        match self.house.store.environment(id).await? {
            Some(environment) if environment.phase.is_over() => {
                self.house.ports.workspace.remove(id).await?;
                tracing::info!(environment.id = id.0, "the folder of an environment that is over is removed");
            }
            Some(_) => {}
            None => tracing::warn!(
                environment.id = id.0,
                "a folder is of no environment that is known: it is left alone"
            ),
        }
        Ok(())
    }

    async fn collect_logs(&self, in_need: bool) -> Result<(), Failure> {
        let (ports, settings) = (&self.house.ports, self.house.settings());
        let idle = self.idle().await?;
        let files = ports.folders.logs(&idle).await?;
        let mut rules = settings.leftovers;
        if in_need {
            // Half of what there is, the newer one.
            let sum: u64 = files.iter().map(|file| file.size_bytes).sum();
            rules.logs_size = Some(rules.logs_size.unwrap_or(u64::MAX).min(sum / 2));
        }
        let (mut bytes, mut count) = (0, 0_usize);
        for (file, reason) in leftovers::logs(&files, &rules, ports.clock.now()) {
            ports.folders.remove_log(file).await?;
            let LogFile { environment, name, size_bytes, .. } = file;
            tracing::debug!(
                environment.id = environment.0,
                log = name,
                bytes = size_bytes,
                reason = reason.text(),
                "a log is removed"
            );
            (bytes, count) = (bytes + size_bytes, count + 1);
        }
        if count > 0 {
            let reason = if in_need { "a disk is nearly full" } else { "[gc] logs_keep, logs_size" };
            tracing::info!(count, bytes, reason, "old logs are removed");
        }
        Ok(())
    }

    async fn collect_build_cache(&self, in_need: bool) -> Result<(), Failure> {
        let rules = self.house.settings().leftovers;
        let rules = if in_need { rules.in_need() } else { rules };
        let Some(keep) = rules.build_cache else { return Ok(()) };
        let bytes = self.house.ports.stock.prune_build_cache(rules.build_cache_unused, keep).await?;
        if bytes > 0 {
            let reason = if in_need { "a disk is nearly full" } else { "[gc] build_cache" };
            let unused = rules.build_cache_unused.as_secs();
            tracing::info!(bytes, reason, unused_for_seconds = unused, "the build cache is trimmed");
        }
        Ok(())
    }

    async fn collect_rows(&self) -> Result<(), Failure> {
        let store = &self.house.store;
        if let Some(keep) = self.house.settings().leftovers.deliveries_keep {
            let count = store.forget_bodies(self.house.ports.clock.now().minus(keep)).await?;
            if count > 0 {
                tracing::info!(
                    count,
                    reason = "[gc] deliveries_keep",
                    "bodies of old deliveries are removed"
                );
            }
        }
        Ok(store.reserve().await?)
    }

    /// Environments that nobody works on.
    async fn idle(&self) -> Result<Vec<EnvironmentId>, Failure> {
        let live = self.house.store.environments(false).await?;
        Ok(live.into_iter().filter(|it| !it.has_work()).map(|it| it.id).collect())
    }
}

impl ImageShop {
    /// Images that drey built and neither an environment nor an archive needs: leftovers of what was cut.
    async fn collect(&self) -> Result<(), Failure> {
        let (store, ports) = (&self.house.store, &self.house.ports);
        let _alone = self.shelf.lock().await;
        let built = ports.stock.built_images(store.instance()).await?;
        let mut needed: BTreeSet<String> = store.used_images().await?.into_iter().collect();
        needed.extend(store.held_images().await?.into_iter().map(|image| image.tag));
        for image in leftovers::images(&built, &needed, ports.clock.now()) {
            ports.engine.remove(&Resource::Image(image.clone())).await?;
            tracing::info!(image, reason = "no environment and no archive needs it", "an image is removed");
        }
        Ok(())
    }
}
