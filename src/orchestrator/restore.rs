//! Out of an archive: what is asked before anything is made, and the filling of the volumes.

use std::collections::BTreeMap;

use crate::domain::environment::ArchiveRecord;
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::BranchName;
use crate::domain::stack::Stack;
use crate::ports::{ArchivedVolume, PortError, Restoring, failpoint};
use crate::store::StoreError;

use super::failure::Failure;
use super::run::Run;
use super::submitted::Submitted;
use super::{House, Orchestrator};

/// Why an archive is not restored. Nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum RestoreRefused {
    #[error("no archive has the id {0}")]
    Unknown(String),
    /// Something that a restore needs is missing or broken.
    #[error("{0}")]
    Impossible(String),
    #[error(transparent)]
    Outside(#[from] PortError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Orchestrator {
    /// Asks for an environment out of the archive: at its former address, or the next by the rule of slugs.
    ///
    /// # Errors
    /// When something is missing; then nothing was made.
    pub async fn restore(&self, id: &str) -> Result<Submitted, RestoreRefused> {
        let record = self.house.store.archive(id).await?;
        let record = record.ok_or_else(|| RestoreRefused::Unknown(id.to_owned()))?;
        let kind = EventKind::RestoreRequested {
            commit: possible(&self.house, &record).await?,
            branch: self.place_of(&record).await?,
            archive: record.id,
        };
        let event =
            NewEvent { source: EventSource::Cli, repo: record.repo, kind, delivery_id: None, skip: false };
        let submitted = self.submit(None, &[event]).await?;
        submitted
            .into_iter()
            .next()
            .ok_or_else(|| RestoreRefused::Impossible("the event was not taken".into()))
    }

    /// The branch's own name, unless the branch lives again.
    async fn place_of(&self, record: &ArchiveRecord) -> Result<BranchName, RestoreRefused> {
        let live = self.house.store.live_environment(&record.repo, &record.branch).await?;
        let is_from_it = live.as_ref().is_some_and(|environment| {
            environment.restored.as_ref().is_some_and(|restored| restored.archive == record.id)
        });
        if live.is_none() || is_from_it {
            return Ok(record.branch.clone());
        }
        if record.branch.pull_number().is_some() {
            let name = format!("{}/{}", record.repo, record.branch);
            return Err(RestoreRefused::Impossible(format!("{name} has an environment: archive that first")));
        }
        BranchName::parse(&format!("{}@{}", record.branch, record.id))
            .map_err(|error| RestoreRefused::Impossible(error.to_string()))
    }
}

/// The commit to restore at, if all is there that a restore needs.
async fn possible(
    house: &House,
    record: &ArchiveRecord,
) -> Result<crate::domain::names::CommitSha, RestoreRefused> {
    let refuse = |why: String| RestoreRefused::Impossible(format!("archive {}: {why}", record.id));
    if !house.settings().repositories.contains_key(&record.repo) {
        return Err(refuse(format!("{} is not in the configuration any more ([[repo]])", record.repo)));
    }
    let commit = record.commit.clone();
    let commit = commit.ok_or_else(|| refuse("no commit of it is known: it never ran".to_owned()))?;
    if !house.ports.commits.has_commit(&record.repo, &commit).await? {
        return Err(refuse(format!(
            "commit {commit} is not in the mirror any more; push it to a branch and try again"
        )));
    }
    house.ports.archives.check(record).await?;
    // A commit that came back by a push is kept from now on.
    house.ports.commits.keep_commit(&record.repo, &record.id, &commit).await?;
    Ok(commit)
}

impl Run<'_> {
    /// Service → tag of each image that the archive brings, which is on the engine then: nothing of these is built.
    pub(super) async fn images_of_archive(&self) -> Result<BTreeMap<String, String>, Failure> {
        let Some(archive) = self.environment.to_fill() else { return Ok(BTreeMap::new()) };
        let manifest = self.house.ports.archives.manifest(archive).await?;
        if manifest["has_images"] != true {
            return Ok(BTreeMap::new());
        }
        let images = manifest["images"].as_object().into_iter().flatten();
        let images = images.filter_map(|(service, image)| {
            let reference = image["reference"].as_str().filter(|reference| reference.starts_with("drey/"))?;
            Some((service.clone(), reference.to_owned()))
        });
        let images: BTreeMap<String, String> = images.collect();
        let tags: Vec<String> = images.values().cloned().collect();
        self.shop.claim(self.environment.id, &tags).await?;
        self.house.ports.archives.restore(archive, Restoring::Images).await?;
        self.say(format!("{} images are loaded from archive {archive}", tags.len()));
        Ok(images)
    }

    /// Fills the volumes, which are there and empty.
    pub(super) async fn fill(&self, archive: &str, stack: &Stack) -> Result<(), Failure> {
        let manifest = self.house.ports.archives.manifest(archive).await?;
        let kept = manifest["volumes"].as_array().into_iter().flatten();
        let kept: Vec<&str> = kept.filter_map(|volume| volume["key"].as_str()).collect();
        let wanted: Vec<ArchivedVolume> = stack
            .volumes
            .iter()
            .map(|volume| ArchivedVolume { key: volume.key.clone(), name: volume.name.clone() })
            .collect();
        if let Some(lost) = kept.iter().find(|key| !wanted.iter().any(|volume| volume.key == **key)) {
            return Err(Failure::Failed(format!(
                "archive {archive} has a volume {lost}, which the stack does not have now: its data would be lost"
            )));
        }
        let what = Restoring::Volumes { project: &self.environment.project, volumes: &wanted };
        self.house.ports.archives.restore(archive, what).await?;
        failpoint("restore.filled");
        self.house.store.mark_filled(self.environment.id).await?;
        self.say(format!("filled from archive {archive}: {}", kept.join(", ")));
        Ok(())
    }
}
