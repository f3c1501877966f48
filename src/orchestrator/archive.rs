//! What is kept of an environment: manifest, model, logs, history.

use serde_json::json;

use crate::domain::environment::{ArchiveRecord, Outcome};
use crate::ports::ArchiveParts;
use crate::store::EventFilter;

use super::failure::Failure;
use super::run::Run;

/// Version of what is inside an archive; a reader refuses a newer one.
const FORMAT_VERSION: u32 = 1;
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
            pinned: false,
            removed_at: None,
            removed_reason: None,
        };
        let manifest = json!({
            "format": FORMAT_VERSION,
            "drey": env!("CARGO_PKG_VERSION"),
            "archive": record,
            "environment": environment,
            "services": stack.as_ref().map(|stack| &stack.services),
            "volumes": stack.as_ref().map(|stack| &stack.volumes),
        });
        let mut documents = vec![("history/events.json".to_owned(), self.events().await?)];
        let deployments = store.deployments(environment.id).await?;
        documents.push(("history/deployments.json".to_owned(), pretty(&json!(deployments))));
        if let Some(stack) = &stack {
            documents.push(("model.json".to_owned(), pretty(&stack.document)));
        }
        self.keep_commit(id, record.commit.as_ref()).await?;
        let files = self.house.ports.logs.files(environment.id).await?;
        let parts = ArchiveParts { record, manifest, files, documents };
        let written = self.house.ports.archives.write(parts).await?;
        self.say(format!("archive {id}: {} bytes, verified", written.size_bytes));
        store.add_archive(&written).await?;
        self.shop.hold(id, environment.id).await
    }

    async fn events(&self) -> Result<Vec<u8>, Failure> {
        let filter = EventFilter {
            repo: Some(self.environment.repo.clone()),
            branch: Some(self.environment.branch.clone()),
            before: None,
            limit: EVENT_LIMIT,
        };
        let events = self.house.store.events(&filter).await?;
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

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
