//! What is kept of an environment: manifest, model, logs, history.

use serde_json::{Map, Value, json};

use crate::domain::environment::{ArchiveRecord, Outcome};
use crate::domain::event::EventSource;
use crate::domain::stack::Stack;
use crate::ports::{ARCHIVE_FORMAT, ArchiveParts, ArchivedVolume, failpoint};
use crate::store::EventFilter;

use super::failure::Failure;
use super::run::Run;

/// Most events of the branch that an archive keeps, newest first.
const EVENT_LIMIT: u32 = 1000;

impl Run<'_> {
    /// Writes, verifies and records the archive.
    pub(super) async fn archive(&self, id: &str, outcome: Outcome) -> Result<(), Failure> {
        let environment = &self.environment;
        let store = &self.house.store;
        let stack = store.stack(environment.id).await?.map(|applied| applied.stack);
        let record = ArchiveRecord {
            id: id.to_owned(),
            environment: environment.id,
            repo: environment.repo.clone(),
            branch: environment.branch.clone(),
            slug: environment.slug.clone(),
            commit: environment.running_commit.clone().or_else(|| environment.commit.clone()),
            outcome,
            created_at: self.house.ports.clock.now(),
            size_bytes: 0,
            verified_at: None,
            sha256: None,
            pinned: false,
            removed_at: None,
            removed_reason: None,
        };
        let volumes = self.volumes().await?;
        let images = self.images().await?;
        let manifest = json!({
            "format": ARCHIVE_FORMAT,
            "drey": env!("CARGO_PKG_VERSION"),
            "archive": record,
            "asked_by": self.asked_by().await?,
            "environment": environment,
            "services": stack.as_ref().map(|stack| &stack.services),
            "images": self.image_facts(stack.as_ref()).await?,
            "has_images": !images.is_empty(),
            "volumes": manifest_volumes(&volumes, stack.as_ref()),
        });
        let mut documents = vec![("history/events.json".to_owned(), self.events().await?)];
        let deployments = store.deployments(environment.id).await?;
        documents.push(("history/deployments.json".to_owned(), pretty(&json!(deployments))));
        if let Some(stack) = &stack {
            documents.push(("model.json".to_owned(), pretty(&stack.document)));
        }
        self.keep_commit(id, record.commit.as_ref()).await?;
        failpoint("archive.commit_kept");
        let files = self.house.ports.logs.files(environment.id).await?;
        let project = environment.project.clone();
        let parts = ArchiveParts { record, manifest, files, documents, project, volumes, images };
        let written = match self.house.ports.archives.write(parts).await {
            Ok(written) => written,
            Err(error) => {
                self.let_commit_go(id).await;
                return Err(error.into());
            }
        };
        failpoint("archive.renamed");
        self.say(format!("archive {id}: {} bytes, verified", written.size_bytes));
        store.add_archive(&written).await?;
        failpoint("archive.recorded");
        self.shop.hold(id, environment.id).await
    }

    /// Those that are there: an environment that never ran may have some too.
    async fn volumes(&self) -> Result<Vec<ArchivedVolume>, Failure> {
        let project = &self.environment.project;
        let prefix = format!("{project}_");
        let observed = self.house.ports.engine.observe(project).await?;
        let volumes = observed.volumes.into_iter().filter_map(|volume| {
            let key = volume.name.strip_prefix(&prefix)?.to_owned();
            Some(ArchivedVolume { key, name: volume.name })
        });
        Ok(volumes.collect())
    }

    /// The images that go into the archive: those that drey built, and that are there.
    async fn images(&self) -> Result<Vec<String>, Failure> {
        let mut images = Vec::new();
        if self.settings.archive_images {
            for tag in self.house.store.images_of(self.environment.id).await? {
                if self.house.ports.engine.image(&tag).await?.is_some() {
                    images.push(tag);
                }
            }
        }
        Ok(images)
    }

    /// Service → image as it was asked for, its id and its digests at registries.
    async fn image_facts(&self, stack: Option<&Stack>) -> Result<Value, Failure> {
        let mut images = Map::new();
        for (name, service) in stack.into_iter().flat_map(|stack| &stack.services) {
            let facts = self.house.ports.engine.image(&service.image).await?.unwrap_or_default();
            let image = json!({ "reference": service.image, "id": facts.id, "digests": facts.digests });
            images.insert(name.clone(), image);
        }
        Ok(Value::Object(images))
    }

    /// Where the newest event came from that speaks of an end.
    async fn asked_by(&self) -> Result<Option<EventSource>, Failure> {
        let ends = ["end_requested", "end_due", "branch_deleted"];
        let events = self.house.store.events(&self.branch_events()).await?;
        let newest = events.iter().find(|event| ends.contains(&event.kind.word()));
        Ok(newest.map(|event| event.source))
    }

    fn branch_events(&self) -> EventFilter {
        EventFilter {
            repo: Some(self.environment.repo.clone()),
            branch: Some(self.environment.branch.clone()),
            before: None,
            limit: EVENT_LIMIT,
        }
    }

    async fn events(&self) -> Result<Vec<u8>, Failure> {
        let events = self.house.store.events(&self.branch_events()).await?;
        let lines: Vec<_> = events
            .iter()
            .map(|event| {
                json!({
                    "id": event.id, "source": event.source, "event": event.kind, "state": event.state,
                    "delivery_id": event.delivery_id, "received_at": event.received_at, "reason": event.reason,
                })
            })
            .collect();
        Ok(pretty(&json!(lines)))
    }
}

/// What lies in the archive, by its key; the definition, where the stack still tells it.
fn manifest_volumes(volumes: &[ArchivedVolume], stack: Option<&Stack>) -> Value {
    let specs = stack.map(|stack| stack.volumes.as_slice()).unwrap_or_default();
    let item = |volume: &ArchivedVolume| {
        let spec = specs.iter().find(|spec| spec.name == volume.name);
        json!({
            "key": volume.key,
            "name": volume.name,
            "driver_opts": spec.map(|spec| &spec.driver_opts),
            "definition": spec.map(|spec| &spec.definition),
        })
    };
    volumes.iter().map(item).collect()
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
