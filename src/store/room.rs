//! Room inside of the database's own files: kept for the time when the disk has none, and given back by what is old.

use std::path::PathBuf;

use super::{Store, StoreResult};
use crate::domain::time::Timestamp;

/// Bytes that stay free in the database and in its log of changes. With them what frees a full disk can still be written
/// down, and about a hundred pushes more. Space that is free on the disk itself would be anybody's.
const RESERVE: u64 = 4 << 20;
/// Deliveries that lose their body in one transaction: others want to write too.
const BODIES_AT_ONCE: i64 = 200;

impl Store {
    /// Takes what is missing of [`RESERVE`]. The log of changes keeps its size until the daemon ends, so that this is done
    /// at each start, and now and then.
    pub async fn reserve(&self) -> StoreResult<()> {
        let log = std::fs::metadata(self.log_path()).map_or(0, |facts| facts.len());
        let free = self.pragma("PRAGMA freelist_count").await? * self.pragma("PRAGMA page_size").await?;
        if log >= RESERVE && u64::try_from(free).unwrap_or(0) >= RESERVE {
            return Ok(());
        }
        let bytes = i64::try_from(RESERVE).unwrap_or(i64::MAX);
        let mut taken = self.write().await?;
        sqlx::query!("DELETE FROM reserve").execute(&mut *taken).await?;
        sqlx::query!("INSERT INTO reserve (bytes) VALUES (zeroblob(?))", bytes).execute(&mut *taken).await?;
        taken.commit().await?;
        let mut freed = self.write().await?;
        sqlx::query!("DELETE FROM reserve").execute(&mut *freed).await?;
        freed.commit().await?;
        // Only now the file itself has grown.
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&self.writer).await?;
        Ok(())
    }

    /// Deliveries that came before the moment and whose events are settled lose their body; the rows stay, so that the same
    /// delivery is still known. Says how many.
    pub async fn forget_bodies(&self, before: Timestamp) -> StoreResult<u64> {
        let before = before.as_millis();
        let mut forgotten = 0;
        loop {
            let mut transaction = self.write().await?;
            let done = sqlx::query!(
                "UPDATE delivery SET body = x'' WHERE id IN (
                     SELECT id FROM delivery WHERE received_at < ? AND length(body) > 0 AND NOT EXISTS (
                         SELECT 1 FROM event WHERE event.delivery = delivery.id AND event.state = 'pending')
                     LIMIT ?)",
                before,
                BODIES_AT_ONCE
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            forgotten += done.rows_affected();
            if done.rows_affected() == 0 {
                return Ok(forgotten);
            }
        }
    }

    fn log_path(&self) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push("-wal");
        path.into()
    }

    async fn pragma(&self, question: &'static str) -> StoreResult<i64> {
        Ok(sqlx::query_scalar(question).fetch_one(&self.readers).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{commit, home, moment, new_environment, repo};
    use super::*;
    use crate::domain::event::{EventKind, EventSource, EventState, NewEvent};
    use crate::store::{NewDelivery, StoreError};

    fn push(id: &str, millis: i64) -> (NewDelivery, NewEvent) {
        let delivery = NewDelivery {
            repo: repo(),
            source: EventSource::Git,
            delivery_id: id.to_owned(),
            body: vec![b'x'; 20_000],
            received_at: moment(millis),
        };
        let kind = EventKind::BranchCreated {
            branch: super::super::testing::branch("a"),
            commit: Some(commit('1')),
        };
        (delivery, NewEvent { source: EventSource::Git, repo: repo(), kind, delivery_id: None, skip: false })
    }

    async fn push_into(store: &Store, id: &str, millis: i64) -> StoreResult<()> {
        let (delivery, event) = push(id, millis);
        store.accept(Some(delivery), &[event], moment(millis)).await.map(drop)
    }

    #[tokio::test]
    async fn the_reserve_is_room_for_many_pushes_and_is_taken_once() {
        let (_folder, store) = home().await;
        store.reserve().await.unwrap();
        let pages = store.pragma("PRAGMA page_count").await.unwrap();
        assert!(std::fs::metadata(store.log_path()).unwrap().len() >= RESERVE);
        store.reserve().await.unwrap();
        for number in 0..100 {
            push_into(&store, &number.to_string(), number).await.unwrap();
        }
        assert_eq!(store.pragma("PRAGMA page_count").await.unwrap(), pages, "the file did not grow");
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM reserve").fetch_one(&store.readers).await.unwrap();
        assert_eq!(left, 0);
    }

    /// SQLite ends a transaction by itself when there is no room, behind the back of the connection's keeper.
    #[tokio::test]
    async fn a_full_database_is_told_and_goes_on_when_there_is_room() {
        let (_folder, store) = home().await;
        let pages = store.pragma("PRAGMA page_count").await.unwrap();
        let limit = format!("PRAGMA max_page_count = {}", pages + 20);
        sqlx::query(sqlx::AssertSqlSafe(limit)).execute(&store.writer).await.unwrap();
        let mut stored = 0;
        let error = loop {
            match push_into(&store, &format!("{stored}"), stored).await {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(error.is_full() && error.to_string().starts_with("no room for the database"), "{error}");
        assert!(stored > 0, "some had room");
        let events = store.pending_events().await.unwrap().len();
        assert_eq!(i64::try_from(events).unwrap(), stored, "reading goes on, and nothing half is there");
        // A new connection has no such limit.
        while let Err(error) = push_into(&store, "after", 1).await {
            assert!(matches!(error, StoreError::Full(_)), "{error}");
            store.writer.acquire().await.unwrap().close().await.unwrap();
        }
        store.create_environment(new_environment("a", 1)).await.unwrap();
    }

    #[tokio::test]
    async fn old_bodies_go_and_their_deliveries_are_still_known() {
        let (_folder, store) = home().await;
        for (id, millis) in [("old", 10), ("pending", 20), ("new", 30)] {
            push_into(&store, id, millis).await.unwrap();
        }
        for event in store.pending_events().await.unwrap() {
            if event.delivery_id.as_deref() != Some("pending") {
                store.settle_event(event.id, EventState::Done, None).await.unwrap();
            }
        }
        assert_eq!(store.forget_bodies(moment(30)).await.unwrap(), 1);
        assert_eq!(store.forget_bodies(moment(30)).await.unwrap(), 0);
        let (delivery, event) = push("old", 99);
        let again = store.accept(Some(delivery), &[event], moment(99)).await.unwrap();
        assert!(again.iter().all(|accepted| !accepted.is_new));
        let sizes: Vec<i64> = sqlx::query_scalar("SELECT length(body) FROM delivery ORDER BY id")
            .fetch_all(&store.readers)
            .await
            .unwrap();
        assert_eq!(sizes, [0, 20_000, 20_000]);
    }
}
