//! What is known of archives; the files lie in the data directory.

use super::codec::{Row, word};
use super::{Store, StoreError, StoreResult};
use crate::domain::environment::ArchiveRecord;
use crate::domain::names::{BranchName, CommitSha, EnvironmentId, RepoName, Slug};
use crate::domain::time::Timestamp;

/// Which archives to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFilter {
    pub repo: Option<RepoName>,
    /// Only archives older than the one with this id: the next page.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
}

impl Default for ArchiveFilter {
    fn default() -> Self {
        Self { repo: None, before: None, limit: 100 }
    }
}

impl Store {
    /// Records an archive; the same id again replaces what was recorded.
    pub async fn add_archive(&self, record: &ArchiveRecord) -> StoreResult<()> {
        let (repo, branch, slug) = (record.repo.as_str(), record.branch.as_str(), record.slug.as_str());
        let (commit, outcome) = (record.commit.as_ref().map(CommitSha::as_str), word(&record.outcome)?);
        let size = i64::try_from(record.size_bytes).unwrap_or(i64::MAX);
        let created_at = record.created_at.as_millis();
        let verified_at = record.verified_at.map(Timestamp::as_millis);
        let mut transaction = self.write().await?;
        sqlx::query!(
            "INSERT OR REPLACE INTO archive
             (id, environment, repo, branch, slug, commit_id, outcome, created_at, size_bytes, verified_at, sha256)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            record.sha256
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
            "SELECT * FROM archive WHERE (?1 IS NULL OR repo = ?1)
                 AND (?2 IS NULL OR (created_at, id) < (SELECT created_at, id FROM archive WHERE id = ?2))
             ORDER BY created_at DESC, id DESC LIMIT ?3",
            repo,
            filter.before,
            filter.limit
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(ArchiveRecord::try_from).collect()
    }

    /// What is known of one archive.
    pub async fn archive(&self, id: &str) -> StoreResult<Option<ArchiveRecord>> {
        let row = sqlx::query_as!(ArchiveRow, "SELECT * FROM archive WHERE id = ?", id)
            .fetch_optional(&self.readers)
            .await?;
        row.map(ArchiveRecord::try_from).transpose()
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
}

impl TryFrom<ArchiveRow> for ArchiveRecord {
    type Error = StoreError;

    fn try_from(row: ArchiveRow) -> StoreResult<Self> {
        let name = Row { table: "archive", key: &row.id };
        Ok(Self {
            environment: EnvironmentId(row.environment),
            repo: name.read(RepoName::parse(&row.repo))?,
            branch: name.read(BranchName::parse(&row.branch))?,
            slug: name.read(Slug::parse(&row.slug))?,
            commit: name.commit(row.commit_id.as_deref())?,
            outcome: name.word(&row.outcome)?,
            created_at: Timestamp::from_millis(row.created_at),
            size_bytes: name.read(u64::try_from(row.size_bytes))?,
            verified_at: row.verified_at.map(Timestamp::from_millis),
            sha256: row.sha256,
            id: row.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{commit, home, moment, new_environment};
    use super::*;
    use crate::domain::environment::Outcome;

    #[tokio::test]
    async fn records_come_back_newest_first() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let record = |id: &str, repo: &str, outcome, millis| ArchiveRecord {
            id: id.to_owned(),
            environment: made.id,
            repo: RepoName::parse(repo).unwrap(),
            branch: made.branch.clone(),
            slug: made.slug.clone(),
            commit: Some(commit('1')),
            outcome,
            created_at: moment(millis),
            size_bytes: 5_000_000_000,
            verified_at: None,
            sha256: Some("00".to_owned()),
        };
        let records = [
            record("z-1-1", "shop", Outcome::Merged, 3),
            record("m-2-1", "other", Outcome::Deleted, 4),
            record("a-3-1", "shop", Outcome::Expired, 5),
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
}
