//! Commits of forks that somebody let run.

use super::codec::Row;
use super::{Store, StoreResult};
use crate::domain::approval::Approval;
use crate::domain::names::{BranchName, CommitSha, RepoName};
use crate::domain::time::Timestamp;

impl Store {
    /// Lets the commit run; who did so first stays written down.
    pub async fn approve(
        &self,
        repo: &RepoName,
        branch: &BranchName,
        approval: &Approval,
    ) -> StoreResult<()> {
        let (repo, branch, commit) = (repo.as_str(), branch.as_str(), approval.commit.as_str());
        let (by, at) = (&approval.by, approval.at.as_millis());
        let mut transaction = self.write().await?;
        sqlx::query!(
            "INSERT INTO approval (repo, branch, commit_id, approved_by, approved_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (repo, branch, commit_id) DO NOTHING",
            repo,
            branch,
            commit,
            by,
            at
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// What was approved of a pull request, oldest first.
    pub async fn approvals(&self, repo: &RepoName, branch: &BranchName) -> StoreResult<Vec<Approval>> {
        let (repo, name) = (repo.as_str(), branch.as_str());
        let rows = sqlx::query!(
            "SELECT commit_id, approved_by, approved_at FROM approval
             WHERE repo = ? AND branch = ? ORDER BY approved_at, commit_id",
            repo,
            name
        )
        .fetch_all(&self.readers)
        .await?;
        let row = Row { table: "approval", key: branch };
        let approvals = rows.into_iter().map(|found| {
            Ok(Approval {
                commit: row.read(CommitSha::parse(&found.commit_id))?,
                by: found.approved_by,
                at: Timestamp::from_millis(found.approved_at),
            })
        });
        approvals.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{branch, commit, home, moment, repo};
    use super::*;

    #[tokio::test]
    async fn an_approval_is_for_one_commit_of_one_pull_request_and_keeps_who_gave_it() {
        let (_folder, store) = home().await;
        let given =
            |digit, by: &str, at| Approval { commit: commit(digit), by: by.to_owned(), at: moment(at) };
        let (one, other) = (branch("one"), branch("other"));
        store.approve(&repo(), &one, &given('2', "ann", 5)).await.unwrap();
        store.approve(&repo(), &one, &given('1', "bob", 6)).await.unwrap();
        store.approve(&repo(), &one, &given('2', "bob", 7)).await.unwrap();
        let expected = [given('2', "ann", 5), given('1', "bob", 6)];
        assert_eq!(store.approvals(&repo(), &one).await.unwrap(), expected);
        assert_eq!(store.approvals(&repo(), &other).await.unwrap(), []);
        let elsewhere = RepoName::parse("blog").unwrap();
        assert_eq!(store.approvals(&elsewhere, &one).await.unwrap(), []);
    }
}
