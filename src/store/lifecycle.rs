//! An environment's life: its beginning, what is wanted of it, how far it came, its end.

use sqlx::SqliteConnection;

use super::codec::word;
use super::{Store, StoreError, StoreResult, environment, former, slug};
use crate::domain::environment::{Environment, Intent, Phase};
use crate::domain::names::{
    BranchName, CommitSha, EnvironmentId, Generation, InstanceId, ProjectName, RepoName,
};
use crate::domain::time::Timestamp;

/// A branch that is to get an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnvironment {
    pub repo: RepoName,
    pub branch: BranchName,
    pub intent: Intent,
    pub commit: Option<CommitSha>,
    /// The archive that its volumes are filled from.
    pub restored_from: Option<String>,
    pub now: Timestamp,
}

/// How far the work on a generation came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    pub phase: Phase,
    /// Replaces the present one, also by none.
    pub reason: Option<String>,
    /// `None` leaves it as it is.
    pub serving: Option<bool>,
    /// `None` leaves it as it is, `Some(None)` says that nothing runs.
    pub running_commit: Option<Option<CommitSha>>,
    /// The generation's work came to its end.
    pub settled: bool,
}

impl StateChange {
    /// A new phase, the reason gone, all else as it is.
    pub const fn to(phase: Phase) -> Self {
        Self { phase, reason: None, serving: None, running_commit: None, settled: false }
    }
}

impl Store {
    /// Begins a life of the branch: generation 1, phase queued, with the slug that the branch had or gets now.
    /// Hosts of its life before lead to the new environment at once.
    pub async fn create_environment(&self, new: NewEnvironment) -> StoreResult<Environment> {
        let mut transaction = self.write().await?;
        let made = create(&mut transaction, self.instance(), new).await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// Wants something new of the environment: the generation rises. A commit, if given, is its newest known tip.
    /// What is to run is queued (or updating, while it serves) and loses its reason and its ending.
    pub async fn set_intent(
        &self,
        id: EnvironmentId,
        intent: &Intent,
        commit: Option<&CommitSha>,
        now: Timestamp,
    ) -> StoreResult<Environment> {
        let mut transaction = self.write().await?;
        let changed = intend(&mut transaction, id, intent, commit, now).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// When visits woke the environment, or one before it of the same branch, the earliest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn wakes_since(
        &self,
        environment: &Environment,
        since: Timestamp,
    ) -> StoreResult<Vec<Timestamp>> {
        let (repo, branch, since) =
            (environment.repo.as_str(), environment.branch.as_str(), since.as_millis());
        let times = sqlx::query_scalar!(
            "SELECT received_at FROM event
             WHERE repo = ? AND branch = ? AND kind = 'wake_requested' AND source = 'visit' AND received_at > ?
             ORDER BY received_at",
            repo,
            branch,
            since
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(times.into_iter().map(Timestamp::from_millis).collect())
    }

    /// Says why it stands where it does, and changes nothing else; `None`, and nothing is written, when it has moved on
    /// since it was read.
    pub async fn tell(
        &self,
        environment: &Environment,
        reason: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<Option<Environment>> {
        let now = now.as_millis();
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE environment SET reason = ?, updated_at = ?, version = version + 1
             WHERE id = ? AND generation = ? AND settled_generation = ?",
            reason,
            now,
            environment.id.0,
            environment.generation.0,
            environment.settled_generation.0
        )
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        let told = environment::require(&mut transaction, environment.id).await?;
        transaction.commit().await?;
        Ok(Some(told))
    }

    /// Says how far the work on a generation came; `None`, and nothing is written, when a newer generation is
    /// there or the environment is over. A phase that is over settles the generation, ends serving, and gives
    /// back slug (held for [`super::SLUG_HOLD`]), subnets and images.
    pub async fn update_state(
        &self,
        id: EnvironmentId,
        generation: Generation,
        change: &StateChange,
        now: Timestamp,
    ) -> StoreResult<Option<Environment>> {
        let mut transaction = self.write().await?;
        let present = environment::require(&mut transaction, id).await?;
        let ends = change.phase.is_over();
        if present.generation != generation || (present.phase.is_over() && !ends) {
            return Ok(None);
        }
        write_state(&mut transaction, &present, change, now).await?;
        if present.comes_up(change.phase) {
            came_up(&mut transaction, id, now).await?;
        }
        if ends && !present.phase.is_over() {
            give_back(&mut transaction, &present, now).await?;
        }
        let changed = environment::require(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(Some(changed))
    }
}

/// [`Store::create_environment`] inside a transaction.
pub(super) async fn create(
    connection: &mut SqliteConnection,
    instance: &InstanceId,
    new: NewEnvironment,
) -> StoreResult<Environment> {
    let NewEnvironment { repo, branch, intent, commit, restored_from, now } = new;
    refuse_second_life(connection, &repo, &branch).await?;
    let slug = slug::claim(connection, &repo, &branch, now).await?;
    let (repo, branch, label) = (repo.as_str(), branch.as_str(), slug.as_str());
    let (intent, phase) = (serde_json::to_string(&intent)?, word(&Phase::Queued)?);
    let (commit, now) = (commit.as_ref().map(CommitSha::as_str), now.as_millis());
    let done = sqlx::query!(
        "INSERT INTO environment
         (repo, branch, slug, project, intent, generation, settled_generation, phase, serving, commit_id,
          had_own_commit, pinned, created_at, updated_at, active_at, version, restored_from)
         VALUES (?1, ?2, ?3, '', ?4, 1, 0, ?5, 0, ?6, 0, 0, ?7, ?7, ?7, 1, ?8)",
        repo,
        branch,
        label,
        intent,
        phase,
        commit,
        now,
        restored_from
    )
    .execute(&mut *connection)
    .await?;
    let id = EnvironmentId(done.last_insert_rowid());
    let project = ProjectName::new(instance, id, &slug);
    let project = project.as_str();
    sqlx::query!("UPDATE environment SET project = ? WHERE id = ?", project, id.0)
        .execute(&mut *connection)
        .await?;
    slug::inherit_routes(connection, &slug, id).await?;
    environment::require(connection, id).await
}

/// [`Store::set_intent`] inside a transaction.
pub(super) async fn intend(
    connection: &mut SqliteConnection,
    id: EnvironmentId,
    intent: &Intent,
    commit: Option<&CommitSha>,
    now: Timestamp,
) -> StoreResult<Environment> {
    let present = environment::require(connection, id).await?;
    if present.phase.is_over() {
        return Err(StoreError::Over { id: id.0 });
    }
    let runs = matches!(intent, Intent::Run { .. });
    let is_active = runs || matches!(intent, Intent::Wake);
    let phase = match intent {
        Intent::End { .. } | Intent::Sleep { .. } => present.phase,
        Intent::Run { .. } | Intent::Wake | Intent::Repair if present.serving => Phase::Updating,
        Intent::Run { .. } => Phase::Queued,
        Intent::Wake | Intent::Repair => Phase::Waking,
    };
    if runs {
        former::remember(&mut *connection, &present).await?;
    } else {
        former::forget(&mut *connection, id).await?;
    }
    let loses_reason = intent.runs();
    let (phase, intent) = (word(&phase)?, serde_json::to_string(intent)?);
    let (commit, now) = (commit.map(CommitSha::as_str), now.as_millis());
    sqlx::query!(
        "UPDATE environment SET
             intent = ?1, phase = ?2, commit_id = COALESCE(?3, commit_id), generation = generation + 1,
             run_generation = CASE WHEN ?4 THEN generation + 1 ELSE run_generation END,
             reason = CASE WHEN ?7 THEN NULL ELSE reason END,
             active_at = CASE WHEN ?8 THEN ?5 ELSE active_at END,
             ending_outcome = CASE WHEN ?4 THEN NULL ELSE ending_outcome END,
             ending_due_at = CASE WHEN ?4 THEN NULL ELSE ending_due_at END,
             updated_at = ?5, version = version + 1
         WHERE id = ?6",
        intent,
        phase,
        commit,
        runs,
        now,
        id.0,
        loses_reason,
        is_active
    )
    .execute(&mut *connection)
    .await?;
    environment::require(connection, id).await
}

async fn refuse_second_life(
    connection: &mut SqliteConnection,
    repo: &RepoName,
    branch: &BranchName,
) -> StoreResult<()> {
    let name = format!("{repo}/{branch}");
    let (repo, branch) = (repo.as_str(), branch.as_str());
    let live = sqlx::query_scalar!(
        "SELECT id FROM environment WHERE repo = ? AND branch = ? AND phase NOT IN ('archived', 'destroyed')",
        repo,
        branch
    )
    .fetch_optional(connection)
    .await?;
    if live.is_some() { Err(StoreError::AlreadyLive { name }) } else { Ok(()) }
}

async fn write_state(
    connection: &mut SqliteConnection,
    present: &Environment,
    change: &StateChange,
    now: Timestamp,
) -> StoreResult<()> {
    let ends = change.phase.is_over();
    let serving = !ends && change.serving.unwrap_or(present.serving);
    let running_commit = change.running_commit.as_ref().unwrap_or(&present.running_commit);
    let running_commit = if ends { None } else { running_commit.as_ref().map(CommitSha::as_str) };
    let settled = if ends || change.settled { present.generation.0 } else { present.settled_generation.0 };
    let (phase, now) = (word(&change.phase)?, now.as_millis());
    sqlx::query!(
        "UPDATE environment SET phase = ?, reason = ?, serving = ?, running_commit = ?, settled_generation = ?,
             updated_at = ?, version = version + 1
         WHERE id = ?",
        phase,
        change.reason,
        serving,
        running_commit,
        settled,
        now,
        present.id.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn came_up(connection: &mut SqliteConnection, id: EnvironmentId, now: Timestamp) -> StoreResult<()> {
    let now = now.as_millis();
    sqlx::query!("UPDATE environment SET active_at = ? WHERE id = ?", now, id.0).execute(connection).await?;
    Ok(())
}

async fn give_back(
    connection: &mut SqliteConnection,
    environment: &Environment,
    now: Timestamp,
) -> StoreResult<()> {
    let id = environment.id.0;
    slug::free(connection, &environment.slug, now).await?;
    sqlx::query!("DELETE FROM subnet WHERE environment = ?", id).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM image_use WHERE environment = ?", id).execute(&mut *connection).await?;
    former::forget(&mut *connection, environment.id).await?;
    sqlx::query!("DELETE FROM applied_stack WHERE environment = ?", id).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{commit, home, moment, new_environment, run};
    use super::*;
    use crate::domain::environment::Outcome;

    #[tokio::test]
    async fn a_new_environment_is_queued_in_its_first_generation() {
        let (_folder, store) = home().await;
        let new = NewEnvironment { commit: Some(commit('1')), ..new_environment("feature/x", 5) };
        let made = store.create_environment(new).await.unwrap();
        assert_eq!(made.slug.as_str(), "feature-x");
        assert_eq!(made.project.as_str(), format!("drey-{}-{}-feature-x", store.instance(), made.id));
        assert_eq!((made.generation, made.settled_generation), (Generation(1), Generation(0)));
        assert_eq!((made.phase, made.commit.clone()), (Phase::Queued, Some(commit('1'))));
        assert_eq!((made.created_at, made.updated_at, made.version), (moment(5), moment(5), 1));
        assert!(made.has_work() && !made.serving && !made.pinned && !made.had_own_commit);

        let error = store.create_environment(new_environment("feature/x", 6)).await.unwrap_err();
        assert_eq!(error.to_string(), "shop/feature/x has an environment already");
        assert_eq!(store.live_environment(&made.repo, &made.branch).await.unwrap(), Some(made));
    }

    #[tokio::test]
    async fn its_time_without_visitors_counts_from_when_it_came_up() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let ready = StateChange { serving: Some(true), ..StateChange::to(Phase::Ready) };
        let active = async |change: &StateChange, at: i64| {
            let row = store.environment(made.id).await.unwrap().unwrap();
            let changed = store.update_state(made.id, row.generation, change, moment(at)).await.unwrap();
            changed.unwrap().active_at
        };
        assert_eq!(active(&StateChange::to(Phase::Building), 100).await, moment(1));
        assert_eq!(active(&ready, 900).await, moment(900));
        let settled = StateChange { settled: true, ..ready.clone() };
        assert_eq!(active(&settled, 1000).await, moment(900), "it was up already");
        store.set_intent(made.id, &Intent::Repair, None, moment(2000)).await.unwrap();
        assert_eq!(active(&settled, 2100).await, moment(900), "what is put right was up all the time");
        store.set_intent(made.id, &Intent::Wake, None, moment(3000)).await.unwrap();
        assert_eq!(active(&settled, 3500).await, moment(3500));
    }

    #[tokio::test]
    async fn a_result_counts_only_for_the_newest_generation() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let ready = StateChange {
            serving: Some(true),
            running_commit: Some(Some(commit('1'))),
            settled: true,
            ..StateChange::to(Phase::Ready)
        };
        let served = store.update_state(made.id, made.generation, &ready, moment(2)).await.unwrap().unwrap();
        assert_eq!((served.phase, served.serving, served.has_work()), (Phase::Ready, true, false));
        assert_eq!(served.running_commit, Some(commit('1')));

        let newer = store.set_intent(made.id, &run(), Some(&commit('2')), moment(3)).await.unwrap();
        assert_eq!((newer.phase, newer.generation), (Phase::Updating, Generation(2)));
        assert_eq!((newer.commit.clone(), newer.has_work()), (Some(commit('2')), true));
        let late = store.update_state(made.id, made.generation, &ready, moment(4)).await.unwrap();
        assert_eq!(late, None);
        assert_eq!(store.environment(made.id).await.unwrap(), Some(newer.clone()));

        let failed = StateChange { reason: Some("why".to_owned()), ..StateChange::to(Phase::Failed) };
        let failed =
            store.update_state(made.id, newer.generation, &failed, moment(5)).await.unwrap().unwrap();
        assert!(failed.serving, "what ran keeps running");
        assert_eq!((failed.reason.as_deref(), failed.has_work()), (Some("why"), true));
    }

    #[tokio::test]
    async fn an_intent_to_end_leaves_phase_and_commit() {
        let (_folder, store) = home().await;
        let new = NewEnvironment { commit: Some(commit('1')), ..new_environment("a", 1) };
        let made = store.create_environment(new).await.unwrap();
        let failed =
            StateChange { reason: Some("why".to_owned()), settled: true, ..StateChange::to(Phase::Failed) };
        store.update_state(made.id, made.generation, &failed, moment(2)).await.unwrap();
        let end = Intent::End { outcome: Outcome::Deleted, archive: true };
        let ending = store.set_intent(made.id, &end, None, moment(3)).await.unwrap();
        assert_eq!((ending.phase, ending.commit.clone()), (Phase::Failed, Some(commit('1'))));
        assert_eq!((ending.intent.clone(), ending.has_work()), (end, true));
        assert_eq!(ending.archive_id(), made.archive_id(), "tried again, it is the same archive");
        let back = store.set_intent(made.id, &run(), None, moment(4)).await.unwrap();
        assert_ne!(back.archive_id(), made.archive_id(), "another end, another archive");
        assert_eq!((back.phase, back.reason), (Phase::Queued, None));
    }

    #[tokio::test]
    async fn what_is_over_stays_over() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let archived = StateChange::to(Phase::Archived);
        let over = store.update_state(made.id, made.generation, &archived, moment(2)).await.unwrap().unwrap();
        assert_eq!((over.serving, over.running_commit.clone(), over.has_work()), (false, None, false));
        assert!(store.update_state(made.id, made.generation, &archived, moment(3)).await.unwrap().is_some());
        let ready = StateChange::to(Phase::Ready);
        assert_eq!(store.update_state(made.id, made.generation, &ready, moment(4)).await.unwrap(), None);
        let error = store.set_intent(made.id, &run(), None, moment(5)).await.unwrap_err();
        assert!(matches!(error, StoreError::Over { .. }), "{error}");
    }
}
