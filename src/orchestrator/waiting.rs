//! Pushes that wait for a deployment (`superseded = "queue"`): taken up when it has come to its end.

use crate::store::StoreError;

use super::Orchestrator;

impl Orchestrator {
    /// Looks at each change of any environment whether something waited for it. The timer of pending events does so too.
    pub(super) async fn follow_ends(&self) {
        let draining = self.house.supervisor.draining();
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = self.board.changed() => {}
            }
            if let Err(error) = self.take_up_waiting().await {
                tracing::error!(%error, "the database does not answer");
            }
        }
    }

    async fn take_up_waiting(&self) -> Result<(), StoreError> {
        for id in self.house.store.ended_waits().await? {
            self.take(id).await?;
        }
        Ok(())
    }
}
