//! Jobs that have succeeded, for each environment.

use std::collections::BTreeMap;

use super::{Store, StoreResult};
use crate::domain::jobs::JobsDone;
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::time::Timestamp;

impl Store {
    /// What was done in the environment's life so far. `present` is its newest wish to run.
    pub async fn jobs_done(&self, id: EnvironmentId, present: Generation) -> StoreResult<JobsDone> {
        let rows = sqlx::query!("SELECT key, generation FROM job_done WHERE environment = ?", id.0)
            .fetch_all(&self.readers)
            .await?;
        let done: BTreeMap<String, Generation> =
            rows.into_iter().map(|row| (row.key, Generation(row.generation))).collect();
        Ok(JobsDone { done, present: Some(present) })
    }

    /// The job of this key has succeeded under that wish to run.
    pub async fn mark_job_done(
        &self,
        id: EnvironmentId,
        key: &str,
        generation: Generation,
        now: Timestamp,
    ) -> StoreResult<()> {
        let now = now.as_millis();
        let mut transaction = self.write().await?;
        sqlx::query!(
            "INSERT INTO job_done (environment, key, generation, done_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (environment, key) DO UPDATE SET generation = excluded.generation, done_at = excluded.done_at",
            id.0,
            key,
            generation.0,
            now
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// An environment that is restored from an archive begins with what was done in the archived one: its volumes
    /// hold it. Called before its first deployment; twice is once. Says how many jobs those are.
    pub async fn inherit_jobs(&self, archive: &str, heir: EnvironmentId) -> StoreResult<u64> {
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "INSERT OR IGNORE INTO job_done (environment, key, generation, done_at)
             SELECT ?1, key, 0, done_at FROM job_done
             WHERE environment = (SELECT environment FROM archive WHERE id = ?2) AND environment <> ?1",
            heir.0,
            archive
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{home, moment, new_environment, repo};
    use super::*;
    use crate::domain::environment::{ArchiveRecord, Outcome, Phase};
    use crate::domain::jobs::{Command, DEFAULT_WITHIN, Job, OncePer, When};
    use crate::store::StateChange;

    #[tokio::test]
    async fn what_was_done_is_known_and_a_restored_environment_begins_with_it() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let job = |run: &str, when| Job {
            service: "db".into(),
            run: Command::Shell(run.into()),
            when,
            within: DEFAULT_WITHIN,
        };
        let seed = job("seed", When::AfterStart(OncePer::Environment));
        let migrate = job("migrate", When::AfterStart(OncePer::Deployment));
        for generation in [1, 2] {
            for job in [&seed, &migrate] {
                let generation = Generation(generation);
                store.mark_job_done(made.id, &job.key(), generation, moment(2)).await.unwrap();
            }
        }
        let done = store.jobs_done(made.id, Generation(2)).await.unwrap();
        assert_eq!(done.done.values().collect::<Vec<_>>(), [&Generation(2), &Generation(2)]);

        let record = ArchiveRecord {
            id: "a-1".to_owned(),
            environment: made.id,
            repo: repo(),
            branch: made.branch.clone(),
            slug: made.slug.clone(),
            commit: None,
            outcome: Outcome::Manual,
            created_at: moment(3),
            size_bytes: 1,
            sha256: None,
            pinned: false,
            removed_at: None,
            removed_reason: None,
            verified_at: Some(moment(3)),
        };
        store.add_archive(&record).await.unwrap();
        let over = StateChange::to(Phase::Archived);
        store.update_state(made.id, made.generation, &over, moment(4)).await.unwrap();
        let heir = store.create_environment(new_environment("a", 5)).await.unwrap();
        assert_eq!(store.jobs_done(heir.id, Generation(1)).await.unwrap().done, BTreeMap::new());
        assert_eq!(store.inherit_jobs("a-1", heir.id).await.unwrap(), 2);
        assert_eq!(store.inherit_jobs("a-1", heir.id).await.unwrap(), 0);
        let done = store.jobs_done(heir.id, heir.run_generation).await.unwrap();
        assert_eq!(done.why_run(&seed, true), None, "its volume holds it");
        assert!(done.why_run(&migrate, true).is_some(), "each deployment has its own");
        assert_eq!(store.inherit_jobs("unknown", heir.id).await.unwrap(), 0);
    }
}
