//! Deployments: each run of a plan, with what was planned.

use super::codec::{Row, word};
use super::{Store, StoreError, StoreResult};
use crate::domain::environment::{Deployment, DeploymentState};
use crate::domain::names::{CommitSha, EnvironmentId, Generation};
use crate::domain::time::Timestamp;

impl Store {
    /// Begins the record of a run.
    pub async fn start_deployment(
        &self,
        environment: EnvironmentId,
        generation: Generation,
        commit: Option<&CommitSha>,
        now: Timestamp,
    ) -> StoreResult<Deployment> {
        let state = word(&DeploymentState::Running)?;
        let (commit_id, started_at) = (commit.map(CommitSha::as_str), now.as_millis());
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "INSERT INTO deployment (environment, generation, commit_id, state, plan, started_at)
             VALUES (?, ?, ?, ?, '', ?)",
            environment.0,
            generation.0,
            commit_id,
            state,
            started_at
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Deployment {
            id: done.last_insert_rowid(),
            environment,
            generation,
            commit: commit.cloned(),
            state: DeploymentState::Running,
            plan: String::new(),
            reason: None,
            started_at: now,
            finished_at: None,
        })
    }

    /// Adds to the printed plan, as it is given.
    pub async fn append_plan(&self, id: i64, text: &str) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        let done = sqlx::query!("UPDATE deployment SET plan = plan || ? WHERE id = ?", text, id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        require_row(done.rows_affected(), id)
    }

    /// Ends the record of a run.
    pub async fn finish_deployment(
        &self,
        id: i64,
        state: DeploymentState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<()> {
        let (state, now) = (word(&state)?, now.as_millis());
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE deployment SET state = ?, reason = ?, finished_at = ? WHERE id = ?",
            state,
            reason,
            now,
            id
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        require_row(done.rows_affected(), id)
    }

    /// All runs of an environment, newest first.
    pub async fn deployments(&self, environment: EnvironmentId) -> StoreResult<Vec<Deployment>> {
        let rows = sqlx::query_as!(
            DeploymentRow,
            "SELECT * FROM deployment WHERE environment = ? ORDER BY id DESC",
            environment.0
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(Deployment::try_from).collect()
    }

    /// No run that began is running any more, for this reason. Says how many there were.
    pub async fn supersede_running(&self, reason: &str, now: Timestamp) -> StoreResult<u64> {
        let now = now.as_millis();
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE deployment SET state = 'superseded', reason = ?, finished_at = ? WHERE state = 'running'",
            reason,
            now
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    /// Whatever run of the environment still counts as running has failed, for this reason.
    pub async fn fail_running(
        &self,
        environment: EnvironmentId,
        reason: &str,
        now: Timestamp,
    ) -> StoreResult<()> {
        let now = now.as_millis();
        let mut transaction = self.write().await?;
        sqlx::query!(
            "UPDATE deployment SET state = 'failed', reason = ?, finished_at = ?
             WHERE environment = ? AND state = 'running'",
            reason,
            now,
            environment.0
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn require_row(rows_affected: u64, id: i64) -> StoreResult<()> {
    if rows_affected == 0 {
        return Err(StoreError::Missing { what: "deployment", id: id.to_string() });
    }
    Ok(())
}

struct DeploymentRow {
    id: i64,
    environment: i64,
    generation: i64,
    commit_id: Option<String>,
    state: String,
    plan: String,
    reason: Option<String>,
    started_at: i64,
    finished_at: Option<i64>,
}

impl TryFrom<DeploymentRow> for Deployment {
    type Error = StoreError;

    fn try_from(row: DeploymentRow) -> StoreResult<Self> {
        let name = Row { table: "deployment", key: &row.id };
        Ok(Self {
            id: row.id,
            environment: EnvironmentId(row.environment),
            generation: Generation(row.generation),
            commit: name.commit(row.commit_id.as_deref())?,
            state: name.word(&row.state)?,
            plan: row.plan,
            reason: row.reason,
            started_at: Timestamp::from_millis(row.started_at),
            finished_at: row.finished_at.map(Timestamp::from_millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{commit, home, moment, new_environment};
    use super::*;

    #[tokio::test]
    async fn runs_are_recorded_and_those_of_a_dead_daemon_superseded() {
        let (_folder, store) = home().await;
        let id = store.create_environment(new_environment("a", 1)).await.unwrap().id;
        let sha = commit('1');
        let first = store.start_deployment(id, Generation(1), Some(&sha), moment(2)).await.unwrap();
        let second = store.start_deployment(id, Generation(2), None, moment(3)).await.unwrap();
        store.append_plan(first.id, "up (new)\n").await.unwrap();
        store.append_plan(first.id, "route (ready)\n").await.unwrap();
        store.finish_deployment(first.id, DeploymentState::Failed, Some("why"), moment(4)).await.unwrap();
        assert_eq!(store.supersede_running("the daemon ended", moment(5)).await.unwrap(), 1);
        assert_eq!(store.supersede_running("x", moment(6)).await.unwrap(), 0);

        let failed = Deployment {
            state: DeploymentState::Failed,
            plan: "up (new)\nroute (ready)\n".to_owned(),
            reason: Some("why".to_owned()),
            finished_at: Some(moment(4)),
            ..first
        };
        let superseded = Deployment {
            state: DeploymentState::Superseded,
            reason: Some("the daemon ended".to_owned()),
            finished_at: Some(moment(5)),
            ..second
        };
        assert_eq!(store.deployments(id).await.unwrap(), [superseded, failed]);
        assert!(store.append_plan(99, "x").await.is_err());
    }

    #[test]
    fn the_words_are_those_of_the_domain() {
        for state in [
            DeploymentState::Running,
            DeploymentState::Succeeded,
            DeploymentState::Failed,
            DeploymentState::Superseded,
            DeploymentState::Deferred,
        ] {
            assert_eq!(word(&state).unwrap(), state.word());
        }
    }
}
