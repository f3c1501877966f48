//! How an environment stood before its newest wish, for wishes that turn out to be about nothing.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use super::codec::{Row, word};
use super::{Store, StoreResult, environment, passed};
use crate::domain::environment::{Ending, Environment, Intent, Phase};
use crate::domain::names::{CommitSha, EnvironmentId, Generation};
use crate::domain::time::Timestamp;
use crate::domain::trouble::DEGRADED;

/// A push that is passed over.
#[derive(Clone, Copy, Debug)]
pub struct PassedOver<'a> {
    /// Where the branch is now.
    pub commit: &'a CommitSha,
    /// Told of an environment that is ready and has nothing else to tell.
    pub reason: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Former {
    intent: Intent,
    active_at: Timestamp,
    phase: Phase,
    reason: Option<String>,
    ending: Option<Ending>,
    commit: Option<CommitSha>,
    run_generation: Generation,
}

impl Former {
    /// As before, but that it is known where the branch is now: it is there, so that no end is near.
    fn passing(self, passed: PassedOver<'_>) -> Self {
        let degraded = self.reason.as_ref().is_some_and(|reason| reason.starts_with(DEGRADED));
        let reason = match self.phase == Phase::Ready && !degraded {
            true => Some(passed.reason.to_owned()),
            false => self.reason,
        };
        Self { reason, ending: None, commit: Some(passed.commit.clone()), ..self }
    }
}

impl Store {
    /// Where the remote had the branch before the newest wishes; `None` when nothing is known, or the work on them
    /// has begun.
    pub async fn former_commit(&self, id: EnvironmentId) -> StoreResult<Option<CommitSha>> {
        let mut connection = self.readers.acquire().await?;
        Ok(find(&mut connection, id).await?.and_then(|former| former.commit))
    }

    /// The remote was asked: the branch is at this commit, and the work on it begins.
    pub async fn arrived(&self, id: EnvironmentId, commit: &CommitSha) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        let commit = commit.as_str();
        sqlx::query!("DELETE FROM former_state WHERE environment = ?", id.0)
            .execute(&mut *transaction)
            .await?;
        passed::forget(&mut transaction, id).await?;
        sqlx::query!(
            "UPDATE environment SET commit_id = ?, version = version + 1 WHERE id = ?",
            commit,
            id.0
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The wish was about nothing: the environment stands as it stood before, and the generation is settled. `None`,
    /// and nothing is written, when a newer generation is there or it is not known how it stood.
    pub async fn stay(
        &self,
        id: EnvironmentId,
        generation: Generation,
        now: Timestamp,
    ) -> StoreResult<Option<Environment>> {
        self.stand_again(id, generation, None, now).await
    }

    /// The wish was about a push that is passed over: the environment stands as it stood before, and knows where its branch
    /// is now. `None`, and nothing is written, as with [`Store::stay`].
    pub async fn pass_over(
        &self,
        id: EnvironmentId,
        generation: Generation,
        passed: PassedOver<'_>,
        now: Timestamp,
    ) -> StoreResult<Option<Environment>> {
        self.stand_again(id, generation, Some(passed), now).await
    }

    async fn stand_again(
        &self,
        id: EnvironmentId,
        generation: Generation,
        passed: Option<PassedOver<'_>>,
        now: Timestamp,
    ) -> StoreResult<Option<Environment>> {
        let mut transaction = self.write().await?;
        let present = environment::require(&mut transaction, id).await?;
        let former = find(&mut transaction, id).await?;
        let Some(mut former) =
            former.filter(|_| present.generation == generation && !present.phase.is_over())
        else {
            return Ok(None);
        };
        if let Some(passed) = passed {
            let (repo, branch) = (&present.repo, &present.branch);
            passed::note(&mut transaction, repo, branch, passed.commit, now).await?;
            former = former.passing(passed);
        }
        restore(&mut transaction, id, &former, now).await?;
        let changed = environment::require(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(Some(changed))
    }
}

async fn restore(
    connection: &mut SqliteConnection,
    id: EnvironmentId,
    former: &Former,
    now: Timestamp,
) -> StoreResult<()> {
    forget(connection, id).await?;
    let outcome = former.ending.map(|ending| word(&ending.outcome)).transpose()?;
    let due_at = former.ending.map(|ending| ending.due_at.as_millis());
    let (phase, now) = (word(&former.phase)?, now.as_millis());
    let (intent, active_at) = (serde_json::to_string(&former.intent)?, former.active_at.as_millis());
    let commit = former.commit.as_ref().map(CommitSha::as_str);
    sqlx::query!(
        "UPDATE environment SET intent = ?, active_at = ?, phase = ?, reason = ?, ending_outcome = ?, ending_due_at = ?, commit_id = ?,
             run_generation = ?, settled_generation = generation, updated_at = ?, version = version + 1
         WHERE id = ?",
        intent,
        active_at,
        phase,
        former.reason,
        outcome,
        due_at,
        commit,
        former.run_generation.0,
        now,
        id.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Remembers how the environment stands, before it gets a wish to run. What has work already stood elsewhere before
/// that: it is remembered, or the work has begun.
pub(super) async fn remember(connection: &mut SqliteConnection, present: &Environment) -> StoreResult<()> {
    if present.has_work() {
        return Ok(());
    }
    let former = Former {
        intent: present.intent.clone(),
        active_at: present.active_at,
        phase: present.phase,
        reason: present.reason.clone(),
        ending: present.ending,
        commit: present.commit.clone(),
        run_generation: present.run_generation,
    };
    let state = serde_json::to_string(&former)?;
    sqlx::query!(
        "INSERT INTO former_state (environment, state) VALUES (?1, ?2)
         ON CONFLICT (environment) DO UPDATE SET state = ?2",
        present.id.0,
        state
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// It is not to stand so again.
pub(super) async fn forget(connection: &mut SqliteConnection, id: EnvironmentId) -> StoreResult<()> {
    sqlx::query!("DELETE FROM former_state WHERE environment = ?", id.0).execute(connection).await?;
    Ok(())
}

async fn find(connection: &mut SqliteConnection, id: EnvironmentId) -> StoreResult<Option<Former>> {
    let state = sqlx::query_scalar!("SELECT state FROM former_state WHERE environment = ?", id.0)
        .fetch_optional(connection)
        .await?;
    let row = Row { table: "former_state", key: &id };
    state.map(|state| row.json(&state)).transpose()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{commit, home, moment, new_environment, run};
    use super::super::{NewEnvironment, StateChange};
    use super::*;
    use crate::domain::environment::Outcome;

    async fn failed_and_leaving(store: &Store) -> Environment {
        let new = NewEnvironment { commit: Some(commit('1')), ..new_environment("a", 1) };
        let made = store.create_environment(new).await.unwrap();
        let change = StateChange {
            reason: Some("why".to_owned()),
            settled: true,
            running_commit: Some(Some(commit('1'))),
            serving: Some(true),
            ..StateChange::to(Phase::Failed)
        };
        store.update_state(made.id, made.generation, &change, moment(2)).await.unwrap();
        let ending = Ending { outcome: Outcome::Merged, due_at: moment(99) };
        store.set_ending(made.id, Some(ending), moment(3)).await.unwrap();
        store.environment(made.id).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn after_wishes_about_nothing_all_is_as_it_was() {
        let (_folder, store) = home().await;
        let before = failed_and_leaving(&store).await;
        for claimed in ['2', '3'] {
            store.set_intent(before.id, &run(), Some(&commit(claimed)), moment(4)).await.unwrap();
        }
        assert_eq!(store.former_commit(before.id).await.unwrap(), Some(commit('1')));
        assert_eq!(store.stay(before.id, Generation(2), moment(5)).await.unwrap(), None, "not the newest");
        let after = store.stay(before.id, Generation(3), moment(5)).await.unwrap().unwrap();
        let expected = Environment {
            generation: Generation(3),
            settled_generation: Generation(3),
            updated_at: moment(5),
            version: before.version + 3,
            ..before
        };
        assert_eq!(after, expected);
        assert_eq!(store.stay(after.id, Generation(3), moment(6)).await.unwrap(), None, "once");
    }

    #[tokio::test]
    async fn a_push_that_is_passed_over_changes_where_the_branch_is_and_nothing_else() {
        let (_folder, store) = home().await;
        let failed = failed_and_leaving(&store).await;
        let passed = |commit| PassedOver { commit, reason: "passed" };
        let (two, three) = (commit('2'), commit('3'));
        store.set_intent(failed.id, &run(), Some(&two), moment(4)).await.unwrap();
        let early = store.pass_over(failed.id, Generation(1), passed(&two), moment(5)).await.unwrap();
        assert_eq!(early, None, "not the newest");
        let after =
            store.pass_over(failed.id, Generation(2), passed(&two), moment(5)).await.unwrap().unwrap();
        assert_eq!((after.phase, after.reason.as_deref()), (Phase::Failed, Some("why")));
        assert_eq!((after.commit.as_ref(), after.ending, after.has_work()), (Some(&two), None, false));
        assert_eq!(after.running_commit, failed.running_commit);
        assert_eq!(store.passed_over(&after.repo, &after.branch).await.unwrap().as_ref(), Some(&two));

        let ready = StateChange { settled: true, ..StateChange::to(Phase::Ready) };
        store.update_state(failed.id, Generation(2), &ready, moment(6)).await.unwrap();
        for (generation, before, expected) in [(3, None, "passed"), (4, Some("degraded: x"), "degraded: x")] {
            let present = store.environment(failed.id).await.unwrap().unwrap();
            store.tell(&present, before, moment(7)).await.unwrap().unwrap();
            store.set_intent(failed.id, &run(), Some(&three), moment(8)).await.unwrap();
            let generation = Generation(generation);
            let after =
                store.pass_over(failed.id, generation, passed(&three), moment(9)).await.unwrap().unwrap();
            assert_eq!((after.phase, after.reason.as_deref()), (Phase::Ready, Some(expected)));
        }
    }

    #[tokio::test]
    async fn there_is_no_way_back_once_the_work_has_begun_or_the_end_is_wanted() {
        let (_folder, store) = home().await;
        let before = failed_and_leaving(&store).await;
        store.set_intent(before.id, &run(), Some(&commit('2')), moment(4)).await.unwrap();
        store.arrived(before.id, &commit('2')).await.unwrap();
        store.set_intent(before.id, &run(), Some(&commit('3')), moment(4)).await.unwrap();
        assert_eq!(store.former_commit(before.id).await.unwrap(), None);
        assert_eq!(store.stay(before.id, Generation(3), moment(5)).await.unwrap(), None);

        let settled = StateChange { settled: true, ..StateChange::to(Phase::Ready) };
        store.update_state(before.id, Generation(3), &settled, moment(5)).await.unwrap();
        store.set_intent(before.id, &run(), Some(&commit('4')), moment(6)).await.unwrap();
        let end = Intent::End { outcome: Outcome::Manual, archive: true };
        store.set_intent(before.id, &end, None, moment(6)).await.unwrap();
        assert_eq!(store.stay(before.id, Generation(5), moment(7)).await.unwrap(), None);
    }
}
