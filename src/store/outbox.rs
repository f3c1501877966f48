//! What the forges are told: wishes that replace each other, and what came of sending them.

use super::codec::Row;
use super::{Store, StoreResult};
use crate::domain::names::{BranchName, RepoName};
use crate::domain::report::Report;
use crate::domain::time::Timestamp;

/// One thing at a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    pub id: i64,
    pub repo: RepoName,
    /// As stored; only to name the environment.
    pub branch: String,
    pub nonce: String,
    pub wanted: Report,
    /// As stored. What an older drey wrote may look otherwise when it is written again.
    pub wanted_text: String,
    /// As it was last taken.
    pub sent: Option<Report>,
    pub remote_id: Option<String>,
    /// Tries since it was last taken.
    pub tries: u32,
    pub next_try_at: Timestamp,
    pub last_error: Option<String>,
}

impl Store {
    /// Says how things of a branch should be. One that is as it should be, or waits already, keeps its turn; a new wish
    /// is due at `due_at`. Gives how many changed.
    pub async fn wish(
        &self,
        (repo, branch): (&RepoName, &BranchName),
        reports: &[Report],
        now: Timestamp,
        due_at: Timestamp,
    ) -> StoreResult<u64> {
        let (repo, branch) = (repo.as_str(), branch.as_str());
        let (now, due_at) = (now.as_millis(), due_at.as_millis());
        let mut changed = 0;
        let mut transaction = self.write().await?;
        for report in reports {
            let (kind, subject, wanted) = (report.kind(), report.subject(), serde_json::to_string(report)?);
            let done = sqlx::query!(
                "INSERT INTO outbox (repo, branch, kind, subject, wanted, changed_at, next_try_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (repo, branch, kind, subject) DO UPDATE SET
                     next_try_at = CASE WHEN sent IS wanted THEN excluded.next_try_at ELSE next_try_at END,
                     wanted = excluded.wanted, changed_at = excluded.changed_at
                 WHERE wanted <> excluded.wanted",
                repo,
                branch,
                kind,
                subject,
                wanted,
                now,
                due_at
            )
            .execute(&mut *transaction)
            .await?;
            changed += done.rows_affected();
        }
        transaction.commit().await?;
        Ok(changed)
    }

    /// All things of a branch.
    pub async fn outbox_of(&self, repo: &RepoName, branch: &BranchName) -> StoreResult<Vec<OutboxRow>> {
        let (repo, branch) = (repo.as_str(), branch.as_str());
        let rows = sqlx::query_as!(
            StoredRow,
            "SELECT * FROM outbox WHERE repo = ? AND branch = ? ORDER BY id",
            repo,
            branch
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(OutboxRow::try_from).collect()
    }

    /// Those that are not as they should be and whose time has come; who waits longest comes first.
    pub async fn outbox_due(&self, now: Timestamp) -> StoreResult<Vec<OutboxRow>> {
        let now = now.as_millis();
        let rows = sqlx::query_as!(
            StoredRow,
            "SELECT * FROM outbox WHERE sent IS NOT wanted AND next_try_at <= ? ORDER BY next_try_at, id",
            now
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(OutboxRow::try_from).collect()
    }

    /// How many are not as they should be, by repository, with the newest error of each.
    pub async fn outbox_waiting(&self) -> StoreResult<Vec<(RepoName, u64, Option<String>)>> {
        let rows = sqlx::query!(
            r#"SELECT repo, COUNT(*) AS "waiting!: i64",
                   (SELECT last_error FROM outbox AS failed
                    WHERE failed.repo = outbox.repo AND failed.sent IS NOT failed.wanted AND failed.last_error IS NOT NULL
                    ORDER BY next_try_at DESC LIMIT 1) AS "last_error: String"
               FROM outbox WHERE sent IS NOT wanted GROUP BY repo ORDER BY repo"#
        )
        .fetch_all(&self.readers)
        .await?;
        let read = rows.into_iter().map(|it| {
            let row = Row { table: "outbox", key: &it.repo };
            Ok((row.read(RepoName::parse(&it.repo))?, row.read(u64::try_from(it.waiting))?, it.last_error))
        });
        read.collect()
    }

    /// A try begins: from now on the forge may know of it. False: it was forgotten meanwhile.
    pub async fn outbox_begin(&self, id: i64) -> StoreResult<bool> {
        let mut transaction = self.write().await?;
        let done = sqlx::query!("UPDATE outbox SET tries = tries + 1 WHERE id = ?", id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// The forge took it as `wanted_text` was when it was read. What is wanted may have changed meanwhile.
    pub async fn outbox_sent(&self, id: i64, sent: &str, remote_id: Option<&str>) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        sqlx::query!(
            "UPDATE outbox SET sent = ?, remote_id = ?, tries = 0, last_error = NULL WHERE id = ?",
            sent,
            remote_id,
            id
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// The forge did not take it.
    pub async fn outbox_failed(&self, id: i64, error: &str, next_try_at: Timestamp) -> StoreResult<()> {
        let next_try_at = next_try_at.as_millis();
        let mut transaction = self.write().await?;
        sqlx::query!(
            "UPDATE outbox SET last_error = ?, next_try_at = ? WHERE id = ?",
            error,
            next_try_at,
            id
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// What had this id at the forge is gone: the next try makes it anew, with a marker of its own. The one before is known
    /// to all who saw it, and may stand in what somebody else wrote.
    pub async fn outbox_gone(&self, id: i64) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        sqlx::query!(
            "UPDATE outbox SET remote_id = NULL, sent = NULL, nonce = lower(hex(randomblob(8))) WHERE id = ?",
            id
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Forgets what the forge never heard of; false: it may have.
    pub async fn outbox_forget(&self, id: i64) -> StoreResult<bool> {
        let mut transaction = self.write().await?;
        let done = sqlx::query!("DELETE FROM outbox WHERE id = ? AND sent IS NULL AND tries = 0", id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Whatever failed before is tried now: of a repository, or of all.
    pub async fn outbox_retry(&self, repo: Option<&RepoName>, now: Timestamp) -> StoreResult<()> {
        let (repo, now) = (repo.map(RepoName::as_str), now.as_millis());
        let mut transaction = self.write().await?;
        sqlx::query!(
            "UPDATE outbox SET next_try_at = MIN(next_try_at, ?2)
             WHERE sent IS NOT wanted AND (?1 IS NULL OR repo = ?1)",
            repo,
            now
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Forgets what has not changed since then, unless it is about the commit or a pull request of an environment that is
    /// there, or is the comment on a pull request that is open: its next push may bring an environment.
    pub async fn outbox_prune(&self, before: Timestamp) -> StoreResult<()> {
        let before = before.as_millis();
        let mut transaction = self.write().await?;
        sqlx::query!(
            "DELETE FROM outbox WHERE changed_at < ? AND NOT EXISTS (
                 SELECT 1 FROM environment AS it WHERE it.repo = outbox.repo AND it.branch = outbox.branch
                 AND it.phase NOT IN ('archived', 'destroyed')
                 AND (outbox.kind = 'comment' OR it.commit_id = outbox.subject))
             AND NOT (kind = 'comment' AND EXISTS (
                 SELECT 1 FROM pull_request AS pull WHERE pull.repo = outbox.repo
                 AND CAST(pull.number AS TEXT) = outbox.subject AND pull.state = 'open'))",
            before
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

struct StoredRow {
    id: i64,
    repo: String,
    branch: String,
    #[expect(dead_code, reason = "what is wanted says it")]
    kind: String,
    #[expect(dead_code, reason = "what is wanted says it")]
    subject: String,
    nonce: String,
    wanted: String,
    #[expect(dead_code, reason = "the database alone looks at it")]
    changed_at: i64,
    sent: Option<String>,
    remote_id: Option<String>,
    tries: i64,
    next_try_at: i64,
    last_error: Option<String>,
}

impl TryFrom<StoredRow> for OutboxRow {
    type Error = super::StoreError;

    fn try_from(row: StoredRow) -> StoreResult<Self> {
        let name = Row { table: "outbox", key: &row.id };
        Ok(Self {
            repo: name.read(RepoName::parse(&row.repo))?,
            wanted: name.json(&row.wanted)?,
            wanted_text: row.wanted,
            sent: row.sent.as_deref().map(|sent| name.json(sent)).transpose()?,
            tries: name.read(u32::try_from(row.tries))?,
            id: row.id,
            branch: row.branch,
            nonce: row.nonce,
            remote_id: row.remote_id,
            next_try_at: Timestamp::from_millis(row.next_try_at),
            last_error: row.last_error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{branch, home, moment, new_environment, repo};
    use super::*;
    use crate::domain::event::PullChange;
    use crate::domain::pull_request::{self, PullRequest, PullState};
    use crate::domain::report::CommentReport;

    fn comment(pull: u64, body: &str) -> Report {
        Report::Comment(CommentReport { pull, body: body.to_owned() })
    }

    #[tokio::test]
    async fn a_newer_wish_takes_the_place_and_the_turn_of_an_older_one() {
        let (_folder, store) = home().await;
        let (repo, branch) = (repo(), branch("a"));
        let wish = async |body: &str, now: i64| {
            let reports = [comment(7, body)];
            store.wish((&repo, &branch), &reports, moment(now), moment(now + 1000)).await.unwrap()
        };
        assert_eq!(wish("one", 1).await, 1);
        assert_eq!(wish("one", 2).await, 0);
        assert_eq!(wish("two", 900).await, 1);
        assert_eq!(store.outbox_due(moment(1000)).await.unwrap(), []);
        let due = store.outbox_due(moment(1001)).await.unwrap();
        assert_eq!((due.len(), &due[0].wanted, due[0].sent.is_some()), (1, &comment(7, "two"), false));
        assert_eq!(due[0].nonce.len(), 16);

        assert!(store.outbox_begin(due[0].id).await.unwrap());
        store.outbox_failed(due[0].id, "no answer", moment(5000)).await.unwrap();
        wish("three", 1100).await;
        assert_eq!(store.outbox_due(moment(4999)).await.unwrap(), [], "a new wish hammers no more");
        let waiting = store.outbox_waiting().await.unwrap();
        assert_eq!(waiting, [(repo.clone(), 1, Some("no answer".to_owned()))]);
        store.outbox_retry(Some(&repo), moment(1200)).await.unwrap();
        let due = store.outbox_due(moment(1200)).await.unwrap();
        assert_eq!((due[0].tries, &due[0].wanted), (1, &comment(7, "three")));

        store.outbox_sent(due[0].id, &due[0].wanted_text, Some("99")).await.unwrap();
        assert_eq!(store.outbox_due(moment(9000)).await.unwrap(), []);
        wish("four", 9000).await;
        assert_eq!(store.outbox_due(moment(9999)).await.unwrap(), [], "it waits for what follows at once");
        wish("three", 9001).await;
        assert_eq!(store.outbox_due(moment(20_000)).await.unwrap(), [], "it is as it was sent");
        let row = &store.outbox_of(&repo, &branch).await.unwrap()[0];
        assert_eq!((row.remote_id.as_deref(), row.tries, row.last_error.as_deref()), (Some("99"), 0, None));
        store.outbox_gone(row.id).await.unwrap();
        let due = store.outbox_due(moment(20_000)).await.unwrap();
        assert_eq!(due[0].remote_id, None);
        assert!(due[0].nonce.len() == 16 && due[0].nonce != row.nonce, "its marker may have been copied");
    }

    #[tokio::test]
    async fn what_an_older_drey_wrote_is_sent_once() {
        let (_folder, store) = home().await;
        let (repo, branch) = (repo(), branch("a"));
        store.wish((&repo, &branch), &[comment(7, "one")], moment(1), moment(1)).await.unwrap();
        let mut transaction = store.write().await.unwrap();
        // Other order of keys, and one that is not written any more.
        let old = r#"{"body":"one","former":1,"pull":7,"kind":"comment"}"#;
        sqlx::query("UPDATE outbox SET wanted = ?").bind(old).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        let row = store.outbox_due(moment(2)).await.unwrap().remove(0);
        assert_eq!(row.wanted, comment(7, "one"));
        store.outbox_sent(row.id, &row.wanted_text, Some("99")).await.unwrap();
        assert_eq!(store.outbox_due(moment(9000)).await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_comment_on_an_open_pull_request_is_remembered() {
        let (_folder, store) = home().await;
        let repo = repo();
        for (number, state) in [(7, PullState::Open), (8, PullState::Closed)] {
            let pull = PullRequest { state, ..pull_request::sample(number, "a", 'a') };
            let mut transaction = store.write().await.unwrap();
            super::super::pull_request::put(&mut transaction, &repo, PullChange::Opened, &pull)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }
        let reports = [comment(7, "x"), comment(8, "x")];
        store.wish((&repo, &branch("a")), &reports, moment(1), moment(1)).await.unwrap();
        store.outbox_prune(moment(2)).await.unwrap();
        let left = store.outbox_of(&repo, &branch("a")).await.unwrap();
        assert_eq!(left.iter().map(|row| row.wanted.subject()).collect::<Vec<_>>(), ["7"]);
    }

    #[tokio::test]
    async fn what_is_long_over_is_forgotten() {
        let (_folder, store) = home().await;
        let (repo, gone) = (repo(), branch("gone"));
        let live = store.create_environment(new_environment("a", 1)).await.unwrap();
        for branch in [&live.branch, &gone] {
            store.wish((&repo, branch), &[comment(7, "x")], moment(1), moment(1)).await.unwrap();
        }
        store.outbox_prune(moment(1)).await.unwrap();
        assert_eq!(store.outbox_of(&repo, &gone).await.unwrap().len(), 1);
        store.outbox_prune(moment(2)).await.unwrap();
        assert_eq!(store.outbox_of(&repo, &gone).await.unwrap(), []);
        let row = store.outbox_of(&repo, &live.branch).await.unwrap().remove(0);
        assert!(store.outbox_forget(row.id).await.unwrap());
        assert_eq!(store.outbox_of(&repo, &live.branch).await.unwrap(), []);
        assert!(!store.outbox_begin(row.id).await.unwrap());
        store.wish((&repo, &live.branch), &[comment(7, "x")], moment(1), moment(1)).await.unwrap();
        let row = store.outbox_of(&repo, &live.branch).await.unwrap().remove(0);
        assert!(store.outbox_begin(row.id).await.unwrap());
        assert!(!store.outbox_forget(row.id).await.unwrap(), "the forge may have heard of it");
        assert_eq!(store.told_environments(&repo, moment(5)).await.unwrap(), [live]);
    }
}
