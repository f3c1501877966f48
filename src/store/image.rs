//! Which environment uses which of the images that drey built.

use std::collections::BTreeSet;

use super::{Store, StoreResult};
use crate::domain::names::EnvironmentId;

impl Store {
    /// Replaces the list of images that the environment uses.
    pub async fn set_images(&self, environment: EnvironmentId, tags: &[String]) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        sqlx::query!("DELETE FROM image_use WHERE environment = ?", environment.0)
            .execute(&mut *transaction)
            .await?;
        for tag in tags {
            sqlx::query!(
                "INSERT OR IGNORE INTO image_use (environment, tag) VALUES (?, ?)",
                environment.0,
                tag
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The images that the environment uses, sorted; none once it is over.
    pub async fn images_of(&self, environment: EnvironmentId) -> StoreResult<Vec<String>> {
        let query = sqlx::query_scalar!(
            "SELECT tag FROM image_use WHERE environment = ? ORDER BY tag",
            environment.0
        );
        Ok(query.fetch_all(&self.readers).await?)
    }

    /// Those of `tags` that an environment other than this one uses.
    pub async fn images_used_by_others(
        &self,
        environment: EnvironmentId,
        tags: &[String],
    ) -> StoreResult<Vec<String>> {
        let used: BTreeSet<String> =
            sqlx::query_scalar!("SELECT DISTINCT tag FROM image_use WHERE environment <> ?", environment.0)
                .fetch_all(&self.readers)
                .await?
                .into_iter()
                .collect();
        Ok(tags.iter().filter(|tag| used.contains(*tag)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::StateChange;
    use super::super::testing::{home, moment, new_environment};
    use crate::domain::environment::Phase;

    fn tags(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test]
    async fn an_image_is_used_until_its_last_environment_is_over() {
        let (_folder, store) = home().await;
        let first = store.create_environment(new_environment("a", 1)).await.unwrap();
        let second = store.create_environment(new_environment("b", 1)).await.unwrap();
        store.set_images(first.id, &tags(&["old"])).await.unwrap();
        store.set_images(first.id, &tags(&["web:1", "db:1", "web:1"])).await.unwrap();
        store.set_images(second.id, &tags(&["web:1", "web:2"])).await.unwrap();
        assert_eq!(store.images_of(first.id).await.unwrap(), tags(&["db:1", "web:1"]));
        let asked = tags(&["db:1", "old", "web:1"]);
        assert_eq!(store.images_used_by_others(first.id, &asked).await.unwrap(), tags(&["web:1"]));
        let change = StateChange::to(Phase::Archived);
        store.update_state(second.id, second.generation, &change, moment(2)).await.unwrap().unwrap();
        assert_eq!(store.images_used_by_others(first.id, &asked).await.unwrap(), tags(&[]));
    }
}
