//! Pushes that were passed over: the newest of each branch, so that no later look takes it for news.

use sqlx::SqliteConnection;

use super::codec::Row;
use super::{Store, StoreResult};
use crate::domain::names::{BranchName, CommitSha, EnvironmentId, RepoName};
use crate::domain::time::Timestamp;

impl Store {
    /// Remembers that the branch was passed over at this commit.
    pub async fn note_passed_over(
        &self,
        repo: &RepoName,
        branch: &BranchName,
        commit: &CommitSha,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        note(&mut transaction, repo, branch, commit, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The commit at which the branch was passed over last, if nothing of it was deployed since.
    pub async fn passed_over(&self, repo: &RepoName, branch: &BranchName) -> StoreResult<Option<CommitSha>> {
        let (repo, name) = (repo.as_str(), branch.as_str());
        let commit = sqlx::query_scalar!(
            "SELECT commit_id FROM passed_over WHERE repo = ? AND branch = ?",
            repo,
            name
        )
        .fetch_optional(&self.readers)
        .await?;
        Row { table: "passed_over", key: branch }.commit(commit.as_deref())
    }
}

pub(super) async fn note(
    connection: &mut SqliteConnection,
    repo: &RepoName,
    branch: &BranchName,
    commit: &CommitSha,
    now: Timestamp,
) -> StoreResult<()> {
    let (repo, branch, commit, now) = (repo.as_str(), branch.as_str(), commit.as_str(), now.as_millis());
    sqlx::query!(
        "INSERT INTO passed_over (repo, branch, commit_id, passed_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (repo, branch) DO UPDATE SET commit_id = excluded.commit_id, passed_at = excluded.passed_at",
        repo,
        branch,
        commit,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Something of the environment's branch is deployed.
pub(super) async fn forget(connection: &mut SqliteConnection, id: EnvironmentId) -> StoreResult<()> {
    sqlx::query!(
        "DELETE FROM passed_over WHERE (repo, branch) = (SELECT repo, branch FROM environment WHERE id = ?)",
        id.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{branch, commit, home, moment, new_environment, repo};

    #[tokio::test]
    async fn the_newest_is_remembered_until_something_is_deployed() {
        let (_folder, store) = home().await;
        let (a, b) = (branch("a"), branch("b"));
        assert_eq!(store.passed_over(&repo(), &a).await.unwrap(), None);
        for (branch, digit) in [(&a, '1'), (&b, '2'), (&a, '3')] {
            store.note_passed_over(&repo(), branch, &commit(digit), moment(1)).await.unwrap();
        }
        assert_eq!(store.passed_over(&repo(), &a).await.unwrap(), Some(commit('3')));
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        store.arrived(made.id, &commit('4')).await.unwrap();
        assert_eq!(store.passed_over(&repo(), &a).await.unwrap(), None);
        assert_eq!(store.passed_over(&repo(), &b).await.unwrap(), Some(commit('2')));
    }
}
