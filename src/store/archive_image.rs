//! Which images stay on the engine for which archive.

use super::{Store, StoreResult};
use crate::domain::retention::HeldImage;
use crate::domain::time::Timestamp;

impl Store {
    /// The archive keeps these images too, each with its size in bytes.
    pub async fn hold_images(&self, archive: &str, images: &[(String, u64)]) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        for (tag, size) in images {
            let size = i64::try_from(*size).unwrap_or(i64::MAX);
            sqlx::query!(
                "INSERT OR REPLACE INTO archive_image (archive, tag, size_bytes) VALUES (?, ?, ?)",
                archive,
                tag,
                size
            )
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The archive keeps no image any more.
    pub async fn let_go_of_images(&self, archive: &str) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        sqlx::query!("DELETE FROM archive_image WHERE archive = ?", archive)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// All images that archives keep.
    pub async fn held_images(&self) -> StoreResult<Vec<HeldImage>> {
        let rows = sqlx::query!(
            "SELECT archive_image.archive, archive.created_at, archive_image.tag, archive_image.size_bytes
             FROM archive_image JOIN archive ON archive.id = archive_image.archive
             ORDER BY archive.created_at, archive_image.archive, archive_image.tag"
        )
        .fetch_all(&self.readers)
        .await?;
        let image = |(archive, created_at, tag, size): (String, i64, String, i64)| HeldImage {
            archive,
            created_at: Timestamp::from_millis(created_at),
            tag,
            size_bytes: u64::try_from(size).unwrap_or(0),
        };
        Ok(rows
            .into_iter()
            .map(|row| image((row.archive, row.created_at, row.tag, row.size_bytes)))
            .collect())
    }

    /// The images that any environment uses.
    pub async fn used_images(&self) -> StoreResult<Vec<String>> {
        let query = sqlx::query_scalar!("SELECT DISTINCT tag FROM image_use ORDER BY tag");
        Ok(query.fetch_all(&self.readers).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{commit, home, moment, new_environment};
    use crate::domain::environment::{ArchiveRecord, Outcome};

    #[tokio::test]
    async fn an_archive_keeps_images_until_it_lets_go() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        for (id, millis) in [("b-1-1", 9), ("a-2-1", 3)] {
            let record = ArchiveRecord {
                id: id.to_owned(),
                environment: made.id,
                repo: made.repo.clone(),
                branch: made.branch.clone(),
                slug: made.slug.clone(),
                commit: Some(commit('1')),
                outcome: Outcome::Merged,
                created_at: moment(millis),
                size_bytes: 1,
                verified_at: None,
                sha256: None,
                pinned: false,
                removed_at: None,
                removed_reason: None,
            };
            store.add_archive(&record).await.unwrap();
            let images = [("web:1".to_owned(), 7), (format!("db:{id}"), u64::MAX)];
            for _ in 0..2 {
                store.hold_images(id, &images).await.unwrap();
            }
            store.add_archive(&record).await.unwrap();
        }
        let held = store.held_images().await.unwrap();
        let shown: Vec<String> = held.iter().map(|it| format!("{} {}", it.archive, it.tag)).collect();
        assert_eq!(shown, ["a-2-1 db:a-2-1", "a-2-1 web:1", "b-1-1 db:b-1-1", "b-1-1 web:1"]);
        assert_eq!((held[1].created_at, held[1].size_bytes), (moment(3), 7));
        store.let_go_of_images("a-2-1").await.unwrap();
        assert_eq!(store.held_images().await.unwrap(), held[2..]);
        store.set_images(made.id, &["x".to_owned(), "web:1".to_owned()]).await.unwrap();
        assert_eq!(store.used_images().await.unwrap(), ["web:1", "x"]);
    }
}
