//! Looks through the archives: what is too old or too much goes, what does not fit together is healed or told.

use std::collections::BTreeSet;

use crate::domain::environment::{ArchiveRecord, Environment, Phase};
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::retention::{Verdict, judge};
use crate::store::StoreError;

use super::Orchestrator;
use super::failure::Failure;

impl Orchestrator {
    /// One look. Removes nothing that is in its place: it submits an event for each archive that is to go.
    pub(super) async fn retain(&self) -> Result<(), StoreError> {
        if let Err(failure) = self.shop.trim().await {
            tracing::warn!(%failure, "the images of archives cannot be looked through");
        }
        match self.look_through_archives().await {
            Ok(verdict) => self.ask_for_removals(&verdict).await,
            // Nothing is judged by half of what is there.
            Err(failure) => {
                tracing::warn!(%failure, "the archives cannot be looked through");
                Ok(())
            }
        }
    }

    async fn look_through_archives(&self) -> Result<Verdict, Failure> {
        self.sweep_archives().await?;
        self.sweep_commits().await?;
        let verdict = self.judge_archives().await?;
        if verdict.excess_bytes > 0 {
            tracing::warn!(
                excess_bytes = verdict.excess_bytes,
                "archives are larger than [archive] max_size and none may go: all that are left are pinned or in use"
            );
        }
        Ok(verdict)
    }

    pub(super) async fn judge_archives(&self) -> Result<Verdict, Failure> {
        let files: BTreeSet<String> = self.house.ports.archives.ids().await?.into_iter().collect();
        let mut archives = self.house.store.kept_archives().await?;
        for archive in archives.iter_mut().filter(|archive| !files.contains(&archive.id)) {
            // Without its file it takes no room: nothing else has to go for it.
            archive.size_bytes = 0;
        }
        let (rules, now) = (&self.house.settings().retention, self.house.ports.clock.now());
        Ok(judge(&archives, &self.archives_in_use().await?, rules, now))
    }

    /// Archives that an environment out of them cannot do without.
    pub(super) async fn archives_in_use(&self) -> Result<BTreeSet<String>, StoreError> {
        let live = self.house.store.environments(false).await?;
        Ok(live.iter().filter_map(Environment::needs_archive).map(str::to_owned).collect())
    }

    async fn ask_for_removals(&self, verdict: &Verdict) -> Result<(), StoreError> {
        if verdict.removals.is_empty() {
            return Ok(());
        }
        let pending = self.house.store.pending_events().await?;
        let asked: BTreeSet<&str> = pending.iter().filter_map(|event| event.kind.archive()).collect();
        for (id, reason) in verdict.removals.iter().filter(|(id, _)| !asked.contains(id.as_str())) {
            let Some(archive) = self.house.store.archive(id).await? else { continue };
            let kind =
                EventKind::ArchiveRemoval { branch: archive.branch, archive: archive.id, reason: *reason };
            let (source, repo) = (EventSource::Timer, archive.repo);
            self.submit(None, &[NewEvent { source, repo, kind, delivery_id: None, skip: false }]).await?;
        }
        Ok(())
    }

    /// Rows and files belong together. A file whose row says that it is removed goes; one that nobody knows is told; so
    /// is a row whose file is gone.
    async fn sweep_archives(&self) -> Result<(), Failure> {
        let kept = self.house.store.kept_archives().await?;
        let files = self.house.ports.archives.ids().await?;
        for id in &files {
            match self.house.store.archive(id).await? {
                Some(archive) => self.sweep_file(&archive).await?,
                None => self.sweep_orphan(id).await?,
            }
        }
        for archive in lost(&kept, &files) {
            tracing::warn!(
                archive.id = archive.id,
                "the archive's file is gone; `drey archive remove` takes it from the list"
            );
        }
        Ok(())
    }

    async fn sweep_file(&self, archive: &ArchiveRecord) -> Result<(), Failure> {
        if archive.removed_at.is_none() {
            return Ok(());
        }
        // An end that is tried again writes the archive anew, and the file is there before the row says so.
        let environment = self.house.store.environment(archive.environment).await?;
        if environment.is_none_or(|environment| environment.phase.is_over()) {
            self.remove_leftover(&archive.id).await;
        }
        Ok(())
    }

    /// A commit that is kept for an archive which never came to be.
    async fn sweep_commits(&self) -> Result<(), Failure> {
        let commits = &self.house.ports.commits;
        for repo in self.house.settings().repositories.keys() {
            for id in commits.kept_commits(repo).await? {
                if self.house.store.archive(&id).await?.is_none() && self.fate_of(&id).await? == Orphan::Goes
                {
                    commits.release_commit(repo, &id).await?;
                    tracing::info!(archive.id = id, "the commit of an archive that was given up is let go");
                }
            }
        }
        Ok(())
    }

    async fn sweep_orphan(&self, id: &str) -> Result<(), Failure> {
        match self.fate_of(id).await? {
            Orphan::Goes => self.remove_leftover(id).await,
            Orphan::Stays => {}
            Orphan::Unknown => tracing::warn!(
                archive.id = id,
                "a file in the folder of archives is in no list; it counts for nothing and is left alone"
            ),
        }
        Ok(())
    }

    /// Ours, and wanted by nobody, is what belongs to an environment that ended without keeping anything, or that was
    /// wanted again: its end was cut between file and row, and nothing is removed before the row. One that still ends
    /// comes back for its own.
    async fn fate_of(&self, id: &str) -> Result<Orphan, StoreError> {
        let environment = match named_by(id) {
            Some((environment, _)) => self.house.store.environment(environment).await?,
            None => None,
        };
        let environment = environment.filter(|it| id.starts_with(&format!("{}-{}-", it.slug, it.id)));
        let newest = environment.as_ref().map(|it| it.run_generation);
        let was_given_up = named_by(id).map(|(_, generation)| generation) < newest;
        Ok(match environment.map(|environment| environment.phase) {
            Some(Phase::Destroyed) => Orphan::Goes,
            Some(_) if was_given_up => Orphan::Goes,
            Some(phase) if !phase.is_over() => Orphan::Stays,
            Some(_) | None => Orphan::Unknown,
        })
    }
}

/// What becomes of something that has the id of an archive which no row knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Orphan {
    Goes,
    Stays,
    Unknown,
}

/// Those without a file.
fn lost<'a>(kept: &'a [ArchiveRecord], files: &[String]) -> Vec<&'a ArchiveRecord> {
    kept.iter().filter(|archive| files.binary_search(&archive.id).is_err()).collect()
}

/// What an archive's id names: `<slug>-<environment>-<generation>`.
fn named_by(id: &str) -> Option<(EnvironmentId, Generation)> {
    let mut parts = id.rsplit('-');
    let generation = parts.next()?.parse().ok().map(Generation)?;
    Some((parts.next()?.parse().ok().map(EnvironmentId)?, generation))
}
