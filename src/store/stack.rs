//! The stack that was applied last, for each environment.

use super::codec::Row;
use super::{Store, StoreResult};
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::settings::StackSettings;
use crate::domain::stack::Stack;

/// A stack and the generation that brought it.
#[derive(Clone, Debug, PartialEq)]
pub struct AppliedStack {
    pub stack: Stack,
    pub generation: Generation,
    /// Brought up whole, and nothing touched its containers since.
    pub whole: bool,
}

impl Store {
    /// What was applied last; `None` before the first time and after the end.
    pub async fn stack(&self, id: EnvironmentId) -> StoreResult<Option<AppliedStack>> {
        let row =
            sqlx::query!("SELECT generation, stack, whole FROM applied_stack WHERE environment = ?", id.0)
                .fetch_optional(&self.readers)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let stack = Row { table: "applied_stack", key: &id }.json(&row.stack)?;
        Ok(Some(AppliedStack { stack, generation: Generation(row.generation), whole: row.whole != 0 }))
    }

    /// What the stack that was applied last says of itself; nothing where none was.
    pub async fn stack_settings(&self, id: EnvironmentId) -> StoreResult<StackSettings> {
        Ok(self.stack(id).await?.map(|applied| applied.stack.settings).unwrap_or_default())
    }

    /// Keeps what is applied now instead of what was before.
    pub async fn set_stack(
        &self,
        id: EnvironmentId,
        generation: Generation,
        stack: &Stack,
    ) -> StoreResult<()> {
        let stack = serde_json::to_string(stack)?;
        let mut transaction = self.write().await?;
        sqlx::query!(
            "INSERT OR REPLACE INTO applied_stack (environment, generation, stack, whole) VALUES (?, ?, ?, 1)",
            id.0,
            generation.0,
            stack
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Containers are about to be touched: until [`Self::set_stack`] nobody may rely on what ran before.
    pub async fn disturb_stack(&self, id: EnvironmentId) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        sqlx::query!("UPDATE applied_stack SET whole = 0 WHERE environment = ?", id.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets the applied stack: nothing of it is left on the engine.
    pub async fn clear_stack(&self, id: EnvironmentId) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        sqlx::query!("DELETE FROM applied_stack WHERE environment = ?", id.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{home, new_environment};
    use super::*;
    use crate::domain::stack::ReadinessSpec;

    #[tokio::test]
    async fn the_last_stack_is_kept_until_cleared() {
        let (_folder, store) = home().await;
        let id = store.create_environment(new_environment("a", 1)).await.unwrap().id;
        let mut stack = Stack {
            document: json!({"services": {"web": {"image": "x", "command": ["$$HOME", "é"]}}}),
            digest: "d1".to_owned(),
            services: [].into(),
            networks: Vec::new(),
            volumes: Vec::new(),
            binds: Vec::new(),
            routes: Vec::new(),
            readiness: ReadinessSpec { path: "/".to_owned(), within_seconds: 120 },
            settings: Default::default(),
        };
        assert_eq!(store.stack(id).await.unwrap(), None);
        store.set_stack(id, Generation(1), &stack).await.unwrap();
        stack.digest = "d2".to_owned();
        store.set_stack(id, Generation(2), &stack).await.unwrap();
        let applied = AppliedStack { stack: stack.clone(), generation: Generation(2), whole: true };
        assert_eq!(store.stack(id).await.unwrap(), Some(applied.clone()));
        store.disturb_stack(id).await.unwrap();
        assert_eq!(store.stack(id).await.unwrap(), Some(AppliedStack { whole: false, ..applied.clone() }));
        store.set_stack(id, Generation(2), &stack).await.unwrap();
        assert_eq!(store.stack(id).await.unwrap(), Some(applied));
        store.clear_stack(id).await.unwrap();
        assert_eq!(store.stack(id).await.unwrap(), None);
    }
}
