//! Figures for those who watch: counted by the database, each from an index, no row is loaded.

use super::codec::Row;
use super::{Store, StoreResult};
use crate::domain::environment::Phase;
use crate::domain::time::Timestamp;

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Phases that some environment is in; ended ones are left out.
    pub environments: Vec<(Phase, u64)>,
    /// Environments whose newest intent is not reached yet.
    pub with_work: u64,
    /// The least recent change of those.
    pub oldest_work: Option<Timestamp>,
    pub events_pending: u64,
    pub oldest_pending: Option<Timestamp>,
    pub deployments_running: u64,
    /// Kept ones.
    pub archives: u64,
    pub archive_bytes: u64,
}

impl Store {
    /// Counts what there is.
    pub async fn figures(&self) -> StoreResult<Figures> {
        let mut transaction = self.readers.begin_with("BEGIN").await?;
        let phases = sqlx::query!(
            r#"SELECT phase AS "phase!", count(*) AS "count!: i64", sum(settled_generation < generation) AS "work!: i64",
                      min(CASE WHEN settled_generation < generation THEN updated_at END) AS "oldest: i64"
               FROM environment WHERE phase NOT IN ('archived', 'destroyed') GROUP BY phase"#
        )
        .fetch_all(&mut *transaction)
        .await?;
        let events = sqlx::query!(
            r#"SELECT count(*) AS "count!: i64", min(received_at) AS "oldest: i64" FROM event WHERE state = 'pending'"#
        )
        .fetch_one(&mut *transaction)
        .await?;
        let running = sqlx::query_scalar!("SELECT count(*) FROM deployment WHERE state = 'running'")
            .fetch_one(&mut *transaction)
            .await?;
        let archives = sqlx::query!(
            r#"SELECT count(*) AS "count!: i64", coalesce(sum(size_bytes), 0) AS "bytes!: i64"
               FROM archive WHERE removed_at IS NULL"#
        )
        .fetch_one(&mut *transaction)
        .await?;
        let environments = phases
            .iter()
            .map(|row| {
                let phase = Row { table: "environment", key: &row.phase }.word(&row.phase)?;
                Ok((phase, whole(row.count)))
            })
            .collect::<StoreResult<Vec<_>>>()?;
        Ok(Figures {
            environments,
            with_work: phases.iter().map(|row| whole(row.work)).sum(),
            oldest_work: phases.iter().filter_map(|row| row.oldest).min().map(Timestamp::from_millis),
            events_pending: whole(events.count),
            oldest_pending: events.oldest.map(Timestamp::from_millis),
            deployments_running: whole(running),
            archives: whole(archives.count),
            archive_bytes: whole(archives.bytes),
        })
    }
}

fn whole(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::StateChange;
    use super::super::testing::{home, moment, new_environment};
    use super::*;
    use crate::domain::event::{EventKind, EventSource, NewEvent};
    use crate::domain::names::Generation;

    #[tokio::test]
    async fn what_there_is_is_counted() {
        let (_folder, store) = home().await;
        assert_eq!(store.figures().await.unwrap(), Figures::default());
        let event = NewEvent {
            source: EventSource::Git,
            repo: new_environment("a", 1).repo,
            kind: EventKind::Look,
            delivery_id: None,
            skip: false,
        };
        store.accept(None, std::slice::from_ref(&event), moment(4)).await.unwrap();
        store.accept(None, &[event], moment(3)).await.unwrap();
        for (branch, at) in [("a", 5), ("b", 6), ("c", 7)] {
            let id = store.create_environment(new_environment(branch, at)).await.unwrap().id;
            let phase = match branch {
                "a" => Phase::Ready,
                "b" => Phase::Destroyed,
                _ => continue,
            };
            let change =
                StateChange { phase, reason: None, serving: None, running_commit: None, settled: true };
            store.update_state(id, Generation(1), &change, moment(9)).await.unwrap();
        }
        store
            .start_deployment(crate::domain::names::EnvironmentId(3), Generation(1), None, moment(8))
            .await
            .unwrap();
        let figures = store.figures().await.unwrap();
        assert_eq!(figures.environments, [(Phase::Queued, 1), (Phase::Ready, 1)]);
        assert_eq!((figures.with_work, figures.oldest_work), (1, Some(moment(7))));
        assert_eq!((figures.events_pending, figures.oldest_pending), (2, Some(moment(3))));
        assert_eq!((figures.deployments_running, figures.archives), (1, 0));
    }
}
