//! Environments as stored: reading them, and the marks that change nothing about what is wanted.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::codec::{Row, word};
use super::{Store, StoreError, StoreResult};
use crate::domain::environment::{Ending, Environment, Restored};
use crate::domain::names::{BranchName, EnvironmentId, Generation, ProjectName, RepoName, Slug};
use crate::domain::poll::LastLife;
use crate::domain::time::Timestamp;

impl Store {
    /// The branch's environment that is not over.
    pub async fn live_environment(
        &self,
        repo: &RepoName,
        branch: &BranchName,
    ) -> StoreResult<Option<Environment>> {
        let (repo, branch) = (repo.as_str(), branch.as_str());
        let row = sqlx::query_as!(
            EnvironmentRow,
            "SELECT * FROM environment WHERE repo = ? AND branch = ? AND phase NOT IN ('archived', 'destroyed')",
            repo,
            branch
        )
        .fetch_optional(&self.readers)
        .await?;
        row.map(Environment::try_from).transpose()
    }

    /// The branch's newest environment, over or not.
    pub async fn latest_environment(
        &self,
        repo: &RepoName,
        branch: &BranchName,
    ) -> StoreResult<Option<Environment>> {
        let (repo, branch) = (repo.as_str(), branch.as_str());
        let row = sqlx::query_as!(
            EnvironmentRow,
            "SELECT * FROM environment WHERE repo = ? AND branch = ? ORDER BY id DESC LIMIT 1",
            repo,
            branch
        )
        .fetch_optional(&self.readers)
        .await?;
        row.map(Environment::try_from).transpose()
    }

    /// How the newest lives of a repository's branches ended, where no newer one is there.
    pub async fn last_lives(&self, repo: &RepoName) -> StoreResult<BTreeMap<BranchName, LastLife>> {
        let repo = repo.as_str();
        let rows = sqlx::query!(
            "SELECT id, branch, commit_id, intent FROM environment
             WHERE id IN (SELECT MAX(id) FROM environment WHERE repo = ? GROUP BY branch)
               AND phase IN ('archived', 'destroyed')",
            repo
        )
        .fetch_all(&self.readers)
        .await?;
        let lives = rows.into_iter().map(|row| {
            let name = Row { table: "environment", key: &row.id };
            let commit = name.commit(row.commit_id.as_deref())?;
            Ok((
                name.read(BranchName::parse_any(&row.branch))?,
                LastLife { commit, intent: name.json(&row.intent)? },
            ))
        });
        lives.collect()
    }

    /// The environment as stored, over or not.
    pub async fn environment(&self, id: EnvironmentId) -> StoreResult<Option<Environment>> {
        let mut connection = self.readers.acquire().await?;
        find(&mut connection, id).await
    }

    /// All environments, sorted by repository and branch; those that are over only when asked for.
    pub async fn environments(&self, include_over: bool) -> StoreResult<Vec<Environment>> {
        let rows = sqlx::query_as!(
            EnvironmentRow,
            "SELECT * FROM environment WHERE ? OR phase NOT IN ('archived', 'destroyed') ORDER BY repo, branch, id",
            include_over
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(Environment::try_from).collect()
    }

    /// The newest environment of each branch of a repository that is there, or changed since then.
    pub async fn told_environments(
        &self,
        repo: &RepoName,
        since: Timestamp,
    ) -> StoreResult<Vec<Environment>> {
        let (repo, since) = (repo.as_str(), since.as_millis());
        let rows = sqlx::query_as!(
            EnvironmentRow,
            "SELECT * FROM environment
             WHERE id IN (SELECT MAX(id) FROM environment WHERE repo = ?1 GROUP BY branch)
               AND (phase NOT IN ('archived', 'destroyed') OR updated_at >= ?2)
             ORDER BY id",
            repo,
            since
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(Environment::try_from).collect()
    }

    /// Environments whose ending is due and not under way yet.
    pub async fn due_endings(&self, now: Timestamp) -> StoreResult<Vec<Environment>> {
        let now = now.as_millis();
        let rows = sqlx::query_as!(
            EnvironmentRow,
            "SELECT * FROM environment
             WHERE ending_due_at <= ? AND phase NOT IN ('archived', 'destroyed') ORDER BY ending_due_at, id",
            now
        )
        .fetch_all(&self.readers)
        .await?;
        let mut due: Vec<Environment> =
            rows.into_iter().map(Environment::try_from).collect::<StoreResult<_>>()?;
        due.retain(|environment| !environment.intent.ends());
        Ok(due)
    }

    /// Sets when and how the environment ends, or takes that back.
    pub async fn set_ending(
        &self,
        id: EnvironmentId,
        ending: Option<Ending>,
        now: Timestamp,
    ) -> StoreResult<()> {
        let outcome = ending.map(|ending| word(&ending.outcome)).transpose()?;
        let (due_at, now) = (ending.map(|ending| ending.due_at.as_millis()), now.as_millis());
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE environment SET ending_outcome = ?, ending_due_at = ?, updated_at = ?, version = version + 1
             WHERE id = ?",
            outcome,
            due_at,
            now,
            id.0
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        require_row(done.rows_affected(), id)
    }

    /// Pinned environments are never taken for others' sake.
    pub async fn set_pinned(&self, id: EnvironmentId, pinned: bool, now: Timestamp) -> StoreResult<()> {
        let now = now.as_millis();
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE environment SET pinned = ?, updated_at = ?, version = version + 1 WHERE id = ?",
            pinned,
            now,
            id.0
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        require_row(done.rows_affected(), id)
    }

    /// The branch was seen with a tip outside main. Stays so.
    pub async fn mark_own_commit(&self, id: EnvironmentId) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE environment SET had_own_commit = 1, version = version + 1 - had_own_commit WHERE id = ?",
            id.0
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        require_row(done.rows_affected(), id)
    }

    /// The volumes hold all that the archive has.
    pub async fn mark_filled(&self, id: EnvironmentId) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE environment SET restored_filled = 1, version = version + 1 WHERE id = ?",
            id.0
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        require_row(done.rows_affected(), id)
    }

    /// When environments were last asked for anything; never moves back. Unknown ones are left out.
    pub async fn visited(&self, visits: &[(EnvironmentId, Timestamp)]) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        for (id, at) in visits {
            let at = at.as_millis();
            sqlx::query!(
                "UPDATE environment SET last_visited_at = ?1, version = version + 1
                 WHERE id = ?2 AND (last_visited_at IS NULL OR last_visited_at < ?1)",
                at,
                id.0
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Those of the branches that have an environment which is not over.
pub(super) async fn live_of(
    connection: &mut SqliteConnection,
    repo: &RepoName,
    branches: &[&BranchName],
) -> StoreResult<Vec<Environment>> {
    let (repo, branches) = (repo.as_str(), serde_json::to_string(branches)?);
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id!: i64" FROM environment
           WHERE repo = ? AND phase NOT IN ('archived', 'destroyed') AND branch IN (SELECT value FROM json_each(?))"#,
        repo,
        branches
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut live = Vec::with_capacity(ids.len());
    for id in ids {
        live.push(require(connection, EnvironmentId(id)).await?);
    }
    Ok(live)
}

/// A push came: an environment out of an archive lives on like every other.
pub(super) async fn follow_branch(connection: &mut SqliteConnection, id: EnvironmentId) -> StoreResult<()> {
    sqlx::query!(
        "UPDATE environment SET restored_follows = 1, version = version + 1
         WHERE id = ? AND restored_from IS NOT NULL AND restored_follows = 0",
        id.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The row of an environment, inside a transaction or not.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: EnvironmentId,
) -> StoreResult<Option<Environment>> {
    let row = sqlx::query_as!(EnvironmentRow, "SELECT * FROM environment WHERE id = ?", id.0)
        .fetch_optional(connection)
        .await?;
    row.map(Environment::try_from).transpose()
}

/// The row of an environment that must be there.
pub(super) async fn require(
    connection: &mut SqliteConnection,
    id: EnvironmentId,
) -> StoreResult<Environment> {
    find(connection, id).await?.ok_or_else(|| missing(id))
}

fn require_row(rows_affected: u64, id: EnvironmentId) -> StoreResult<()> {
    if rows_affected == 0 { Err(missing(id)) } else { Ok(()) }
}

fn missing(id: EnvironmentId) -> StoreError {
    StoreError::Missing { what: "environment", id: id.to_string() }
}

struct EnvironmentRow {
    id: i64,
    repo: String,
    branch: String,
    slug: String,
    project: String,
    intent: String,
    generation: i64,
    settled_generation: i64,
    phase: String,
    reason: Option<String>,
    serving: i64,
    commit_id: Option<String>,
    running_commit: Option<String>,
    had_own_commit: i64,
    ending_outcome: Option<String>,
    ending_due_at: Option<i64>,
    pinned: i64,
    created_at: i64,
    updated_at: i64,
    last_visited_at: Option<i64>,
    version: i64,
    run_generation: i64,
    restored_from: Option<String>,
    restored_filled: i64,
    restored_follows: i64,
    active_at: i64,
}

impl TryFrom<EnvironmentRow> for Environment {
    type Error = StoreError;

    fn try_from(row: EnvironmentRow) -> StoreResult<Self> {
        let name = Row { table: "environment", key: &row.id };
        let ending = match (&row.ending_outcome, row.ending_due_at) {
            (Some(outcome), Some(due_at)) => {
                Some(Ending { outcome: name.word(outcome)?, due_at: Timestamp::from_millis(due_at) })
            }
            (None, _) | (_, None) => None,
        };
        Ok(Self {
            id: EnvironmentId(row.id),
            repo: name.read(RepoName::parse(&row.repo))?,
            branch: name.read(BranchName::parse_any(&row.branch))?,
            slug: name.read(Slug::parse(&row.slug))?,
            project: ProjectName::from_stored(row.project),
            intent: name.json(&row.intent)?,
            generation: Generation(row.generation),
            run_generation: Generation(row.run_generation),
            settled_generation: Generation(row.settled_generation),
            phase: name.word(&row.phase)?,
            reason: row.reason,
            serving: row.serving != 0,
            commit: name.commit(row.commit_id.as_deref())?,
            running_commit: name.commit(row.running_commit.as_deref())?,
            had_own_commit: row.had_own_commit != 0,
            ending,
            restored: row.restored_from.map(|archive| Restored {
                archive,
                is_filled: row.restored_filled != 0,
                follows_branch: row.restored_follows != 0,
            }),
            pinned: row.pinned != 0,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            last_visited_at: row.last_visited_at.map(Timestamp::from_millis),
            active_at: Timestamp::from_millis(row.active_at),
            version: row.version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{commit, home, moment, new_environment, run};
    use super::*;
    use crate::domain::environment::{Intent, Outcome};

    #[tokio::test]
    async fn marks_are_kept_and_each_raises_the_version() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let id = made.id;
        store.mark_own_commit(id).await.unwrap();
        store.arrived(id, &commit('3')).await.unwrap();
        store.set_pinned(id, true, moment(5)).await.unwrap();
        store.visited(&[(id, moment(9)), (id, moment(7)), (EnvironmentId(99), moment(9))]).await.unwrap();
        let marked = store.environment(id).await.unwrap().unwrap();
        let expected = Environment {
            had_own_commit: true,
            commit: Some(commit('3')),
            pinned: true,
            updated_at: moment(5),
            last_visited_at: Some(moment(9)),
            version: made.version + 4,
            ..made
        };
        assert_eq!(marked, expected);
    }

    #[tokio::test]
    async fn endings_become_due_until_taken_back_or_begun() {
        let (_folder, store) = home().await;
        let id = store.create_environment(new_environment("a", 1)).await.unwrap().id;
        let ending = Ending { outcome: Outcome::Merged, due_at: moment(100) };
        store.set_ending(id, Some(ending), moment(2)).await.unwrap();
        assert_eq!(store.due_endings(moment(99)).await.unwrap(), []);
        let due = store.due_endings(moment(100)).await.unwrap();
        assert_eq!(due.iter().map(|environment| environment.ending).collect::<Vec<_>>(), [Some(ending)]);

        store.set_ending(id, None, moment(3)).await.unwrap();
        assert_eq!(store.due_endings(moment(100)).await.unwrap(), []);

        store.set_ending(id, Some(ending), moment(4)).await.unwrap();
        let end = Intent::End { outcome: Outcome::Merged, archive: true };
        assert_eq!(store.set_intent(id, &end, None, moment(5)).await.unwrap().ending, Some(ending));
        assert_eq!(store.due_endings(moment(100)).await.unwrap(), [], "it is under way");
        assert_eq!(store.set_intent(id, &run(), None, moment(6)).await.unwrap().ending, None);
    }

    #[tokio::test]
    async fn lists_are_sorted_and_leave_out_what_is_over() {
        let (_folder, store) = home().await;
        for name in ["b", "a", "a/b"] {
            store.create_environment(new_environment(name, 1)).await.unwrap();
        }
        let names = |list: Vec<Environment>| list.iter().map(Environment::name).collect::<Vec<_>>();
        let all = store.environments(false).await.unwrap();
        assert_eq!(names(all.clone()), ["shop/a", "shop/a/b", "shop/b"]);
        let change = super::super::StateChange::to(crate::domain::environment::Phase::Archived);
        store.update_state(all[0].id, all[0].generation, &change, moment(2)).await.unwrap().unwrap();
        assert_eq!(names(store.environments(false).await.unwrap()), ["shop/a/b", "shop/b"]);
        assert_eq!(store.environments(true).await.unwrap().len(), 3);
        let latest = store.latest_environment(&all[0].repo, &all[0].branch).await.unwrap();
        assert_eq!(latest.map(|environment| environment.id), Some(all[0].id));
        let ended = store.last_lives(&all[0].repo).await.unwrap();
        assert_eq!(
            ended,
            BTreeMap::from([(all[0].branch.clone(), LastLife { commit: None, intent: run() })])
        );
        store.create_environment(new_environment("a", 3)).await.unwrap();
        assert_eq!(store.last_lives(&all[0].repo).await.unwrap(), BTreeMap::new(), "it lives again");
    }
}
