//! What is known of archives; the files lie in the data directory.

use super::codec::{Row, word};
use super::{Store, StoreError, StoreResult};
use crate::domain::environment::{ArchiveRecord, RemovalReason};
use crate::domain::names::{BranchName, CommitSha, EnvironmentId, RepoName, Slug};
use crate::domain::time::Timestamp;

/// Which archives to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFilter {
    pub repo: Option<RepoName>,
    /// Only archives older than the one with this id: the next page.
    pub before: Option<String>,
    /// Those that were removed too.
    pub removed: bool,
    /// At most so many.
    pub limit: u32,
}

impl Default for ArchiveFilter {
    fn default() -> Self {
        Self { repo: None, before: None, removed: false, limit: 100 }
    }
}

impl Store {
    /// Records an archive; the same id again replaces what was recorded, but whether it is pinned.
    pub async fn add_archive(&self, record: &ArchiveRecord) -> StoreResult<()> {
        let (repo, branch, slug) = (record.repo.as_str(), record.branch.as_str(), record.slug.as_str());
        let (commit, outcome) = (record.commit.as_ref().map(CommitSha::as_str), word(&record.outcome)?);
        let size = i64::try_from(record.size_bytes).unwrap_or(i64::MAX);
        let created_at = record.created_at.as_millis();
        let verified_at = record.verified_at.map(Timestamp::as_millis);
        let mut transaction = self.write().await?;
        sqlx::query!(
            "INSERT INTO archive
             (id, environment, repo, branch, slug, commit_id, outcome, created_at, size_bytes, verified_at, sha256, pinned)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET commit_id = excluded.commit_id, outcome = excluded.outcome,
                 created_at = excluded.created_at, size_bytes = excluded.size_bytes,
                 verified_at = excluded.verified_at, sha256 = excluded.sha256, removed_at = NULL, removed_reason = NULL",
            record.id,
            record.environment.0,
            repo,
            branch,
            slug,
            commit,
            outcome,
            created_at,
            size,
            verified_at,
            record.sha256,
            record.pinned
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Archives that match, newest first.
    pub async fn archives(&self, filter: &ArchiveFilter) -> StoreResult<Vec<ArchiveRecord>> {
        let repo = filter.repo.as_ref().map(RepoName::as_str);
        let rows = sqlx::query_as!(
            ArchiveRow,
            "SELECT * FROM archive WHERE (?1 IS NULL OR repo = ?1) AND (?4 OR removed_at IS NULL)
                 AND (?2 IS NULL OR (created_at, id) < (SELECT created_at, id FROM archive WHERE id = ?2))
             ORDER BY created_at DESC, id DESC LIMIT ?3",
            repo,
            filter.before,
            filter.limit,
            filter.removed
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(ArchiveRecord::try_from).collect()
    }

    /// What is known of one archive, removed or not.
    pub async fn archive(&self, id: &str) -> StoreResult<Option<ArchiveRecord>> {
        let row = sqlx::query_as!(ArchiveRow, "SELECT * FROM archive WHERE id = ?", id)
            .fetch_optional(&self.readers)
            .await?;
        row.map(ArchiveRecord::try_from).transpose()
    }

    /// Every archive that was not removed.
    pub async fn kept_archives(&self) -> StoreResult<Vec<ArchiveRecord>> {
        let rows = sqlx::query_as!(ArchiveRow, "SELECT * FROM archive WHERE removed_at IS NULL ORDER BY id")
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(ArchiveRecord::try_from).collect()
    }

    /// Keeps the archive from being removed, or not; `None` when there is none of that id, or no more.
    pub async fn pin_archive(&self, id: &str, pinned: bool) -> StoreResult<Option<ArchiveRecord>> {
        let mut transaction = self.write().await?;
        let done =
            sqlx::query!("UPDATE archive SET pinned = ? WHERE id = ? AND removed_at IS NULL", pinned, id)
                .execute(&mut *transaction)
                .await?;
        transaction.commit().await?;
        if done.rows_affected() == 0 { Ok(None) } else { self.archive(id).await }
    }

    /// Says when the archive was last found whole; `None`: it was found damaged.
    pub async fn archive_verified(&self, id: &str, at: Option<Timestamp>) -> StoreResult<()> {
        let at = at.map(Timestamp::as_millis);
        let mut transaction = self.write().await?;
        sqlx::query!("UPDATE archive SET verified_at = ? WHERE id = ?", at, id)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Says that the archive is removed; false when it was pinned meanwhile. One that is removed already keeps its time
    /// and its reason.
    pub async fn archive_removed(&self, id: &str, reason: RemovalReason, at: Timestamp) -> StoreResult<bool> {
        let (word, at) = (word(&reason)?, at.as_millis());
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE archive SET removed_at = COALESCE(removed_at, ?2), removed_reason = COALESCE(removed_reason, ?3)
             WHERE id = ?1 AND (pinned = 0 OR removed_at IS NOT NULL)",
            id,
            at,
            word
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

struct ArchiveRow {
    id: String,
    environment: i64,
    repo: String,
    branch: String,
    slug: String,
    commit_id: Option<String>,
    outcome: String,
    created_at: i64,
    size_bytes: i64,
    verified_at: Option<i64>,
    sha256: Option<String>,
    pinned: i64,
    removed_at: Option<i64>,
    removed_reason: Option<String>,
}

impl TryFrom<ArchiveRow> for ArchiveRecord {
    type Error = StoreError;

    fn try_from(row: ArchiveRow) -> StoreResult<Self> {
        let name = Row { table: "archive", key: &row.id };
        Ok(Self {
            environment: EnvironmentId(row.environment),
            repo: name.read(RepoName::parse(&row.repo))?,
            branch: name.read(BranchName::parse_any(&row.branch))?,
            slug: name.read(Slug::parse(&row.slug))?,
            commit: name.commit(row.commit_id.as_deref())?,
            outcome: name.word(&row.outcome)?,
            created_at: Timestamp::from_millis(row.created_at),
            size_bytes: name.read(u64::try_from(row.size_bytes))?,
            verified_at: row.verified_at.map(Timestamp::from_millis),
            sha256: row.sha256,
            pinned: row.pinned != 0,
            removed_at: row.removed_at.map(Timestamp::from_millis),
            removed_reason: row.removed_reason.as_deref().map(|reason| name.word(reason)).transpose()?,
            id: row.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{commit, home, moment, new_environment};
    use super::*;
    use crate::domain::environment::{Environment, Outcome};

    fn record(made: &Environment, id: &str, millis: i64) -> ArchiveRecord {
        ArchiveRecord {
            id: id.to_owned(),
            environment: made.id,
            repo: made.repo.clone(),
            branch: made.branch.clone(),
            slug: made.slug.clone(),
            commit: Some(commit('1')),
            outcome: Outcome::Merged,
            created_at: moment(millis),
            size_bytes: 5_000_000_000,
            verified_at: None,
            sha256: None,
            pinned: false,
            removed_at: None,
            removed_reason: None,
        }
    }

    #[tokio::test]
    async fn records_come_back_newest_first() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let other = RepoName::parse("other").unwrap();
        let records = [
            record(&made, "z-1-1", 3),
            ArchiveRecord { outcome: Outcome::Deleted, repo: other, ..record(&made, "m-2-1", 4) },
            ArchiveRecord { outcome: Outcome::Expired, ..record(&made, "a-3-1", 5) },
        ];
        for record in &records {
            store.add_archive(record).await.unwrap();
        }
        let verified =
            ArchiveRecord { verified_at: Some(moment(9)), outcome: Outcome::Manual, ..records[0].clone() };
        store.add_archive(&verified).await.unwrap();

        let all = store.archives(&ArchiveFilter::default()).await.unwrap();
        assert_eq!(all, [records[2].clone(), records[1].clone(), verified.clone()]);
        let page = ArchiveFilter {
            repo: RepoName::parse("shop").ok(),
            before: Some(records[2].id.clone()),
            ..ArchiveFilter::default()
        };
        assert_eq!(store.archives(&page).await.unwrap(), std::slice::from_ref(&verified));
        assert_eq!(store.archive(&verified.id).await.unwrap(), Some(verified));
        assert_eq!(store.archive("'; DROP TABLE archive").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_pinned_archive_is_not_removed_and_a_removed_one_is_history() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let first = record(&made, "a-1-1", 3);
        store.add_archive(&first).await.unwrap();
        let pinned = store.pin_archive(&first.id, true).await.unwrap().unwrap();
        assert_eq!(pinned, ArchiveRecord { pinned: true, ..first.clone() });
        store.add_archive(&first).await.unwrap();
        assert!(store.archive(&first.id).await.unwrap().unwrap().pinned, "written again it is still pinned");
        assert!(!store.archive_removed(&first.id, RemovalReason::Expired, moment(7)).await.unwrap());

        store.pin_archive(&first.id, false).await.unwrap().unwrap();
        store.archive_verified(&first.id, Some(moment(6))).await.unwrap();
        for (reason, millis) in [(RemovalReason::OverBudget, 7), (RemovalReason::Asked, 8)] {
            assert!(store.archive_removed(&first.id, reason, moment(millis)).await.unwrap());
        }
        let removed = ArchiveRecord {
            verified_at: Some(moment(6)),
            removed_at: Some(moment(7)),
            removed_reason: Some(RemovalReason::OverBudget),
            ..first.clone()
        };
        assert_eq!(store.archive(&first.id).await.unwrap(), Some(removed.clone()));
        assert_eq!(store.archives(&ArchiveFilter::default()).await.unwrap(), []);
        assert_eq!(store.kept_archives().await.unwrap(), []);
        let all = ArchiveFilter { removed: true, ..ArchiveFilter::default() };
        assert_eq!(store.archives(&all).await.unwrap(), [removed]);
        assert_eq!(store.pin_archive(&first.id, true).await.unwrap(), None);
        assert_eq!(store.pin_archive("nothing", true).await.unwrap(), None);
        assert!(!store.archive_removed("nothing", RemovalReason::Asked, moment(9)).await.unwrap());
        store.add_archive(&first).await.unwrap();
        assert_eq!(store.kept_archives().await.unwrap(), [first]);
    }
}
