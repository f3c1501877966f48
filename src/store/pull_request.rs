//! Pull requests, as the newest delivery about each told of them.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::codec::{Row, word};
use super::{Store, StoreResult};
use crate::domain::event::PullChange;
use crate::domain::names::{BranchName, RepoName};
use crate::domain::pull_request::{Head, PullRequest};
use crate::domain::time::Timestamp;

/// As the row has it.
struct PullRow {
    number: i64,
    forge: String,
    title: String,
    author: String,
    source: String,
    branch: String,
    target: String,
    url: Option<String>,
    state: String,
    draft: i64,
    labels: String,
    head: Option<String>,
    fork: Option<String>,
    merge_commit: Option<String>,
    changed_at: Option<i64>,
}

macro_rules! query_pulls {
    ($rest:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            PullRow,
            "SELECT number, forge, title, author, source, branch, target, url, state, draft, labels, head, fork,
             merge_commit, changed_at FROM pull_request " + $rest
            $(, $argument)*
        )
    };
}

impl Store {
    /// The pull requests of a branch, the newest first.
    pub async fn pulls_of(&self, repo: &RepoName, branch: &BranchName) -> StoreResult<Vec<PullRequest>> {
        let (repo, branch) = (repo.as_str(), branch.as_str());
        let rows = query_pulls!("WHERE repo = ? AND branch = ? ORDER BY number DESC", repo, branch)
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(PullRequest::try_from).collect()
    }

    /// The pull requests of a repository that are open, and all of branches that have an environment; by their branches,
    /// the newest first.
    pub async fn pulls(&self, repo: &RepoName) -> StoreResult<BTreeMap<BranchName, Vec<PullRequest>>> {
        let repo = repo.as_str();
        let rows = query_pulls!(
            "WHERE repo = ?1 AND (state = 'open' OR branch IN (
                 SELECT branch FROM environment WHERE repo = ?1 AND phase NOT IN ('archived', 'destroyed')))
             ORDER BY number DESC",
            repo
        )
        .fetch_all(&self.readers)
        .await?;
        let mut pulls: BTreeMap<BranchName, Vec<PullRequest>> = BTreeMap::new();
        for row in rows {
            let pull = PullRequest::try_from(row)?;
            pulls.entry(pull.branch.clone()).or_default().push(pull);
        }
        Ok(pulls)
    }
}

/// The pull requests of a branch, the newest first.
pub(super) async fn of_branch(
    connection: &mut SqliteConnection,
    repo: &RepoName,
    branch: &BranchName,
) -> StoreResult<Vec<PullRequest>> {
    let (repo, branch) = (repo.as_str(), branch.as_str());
    let rows = query_pulls!("WHERE repo = ? AND branch = ? ORDER BY number DESC", repo, branch)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(PullRequest::try_from).collect()
}

/// Takes down what was told, unless something newer is known: deliveries come in any order. One that says again what was
/// told before, that it was opened, counts none the less: so does a forge that gives no newer time. A merge is final, as long as
/// the repository stays at its forge.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    repo: &RepoName,
    change: PullChange,
    pull: &PullRequest,
) -> StoreResult<()> {
    let (repo, number) = (repo.as_str(), i64::try_from(pull.number).unwrap_or(i64::MAX));
    let (forge, state, labels) =
        (pull.forge.word(), word(&pull.state)?, serde_json::to_string(&pull.labels)?);
    let (branch, target) = (pull.branch.as_str(), pull.target.as_str());
    let head = pull.head.as_ref().map(Head::as_str);
    let merge_commit = pull.merge_commit.as_ref().map(Head::as_str);
    let changed_at = pull.changed_at.map(Timestamp::as_millis);
    let opened_at = changed_at.filter(|_| matches!(change, PullChange::Opened | PullChange::Reopened));
    sqlx::query!(
        "INSERT INTO pull_request (repo, number, forge, title, author, source, branch, target, url, state, draft,
                                   labels, head, fork, merge_commit, changed_at, opened_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (repo, number) DO UPDATE SET
             forge = excluded.forge, title = excluded.title,
             author = CASE excluded.author WHEN '' THEN pull_request.author ELSE excluded.author END, source = excluded.source,
             branch = excluded.branch, target = excluded.target, url = excluded.url, state = excluded.state,
             draft = excluded.draft, labels = excluded.labels, head = excluded.head, fork = excluded.fork,
             merge_commit = excluded.merge_commit, changed_at = excluded.changed_at,
             opened_at = coalesce(excluded.opened_at, pull_request.opened_at)
         WHERE pull_request.forge <> excluded.forge
            OR (pull_request.state <> 'merged' OR excluded.state = 'merged')
               AND (coalesce(excluded.changed_at >= pull_request.changed_at, 1)
                    OR excluded.opened_at = pull_request.opened_at)",
        repo,
        number,
        forge,
        pull.title,
        pull.author,
        pull.source,
        branch,
        target,
        pull.url,
        state,
        pull.draft,
        labels,
        head,
        pull.fork,
        merge_commit,
        changed_at,
        opened_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl TryFrom<PullRow> for PullRequest {
    type Error = super::StoreError;

    fn try_from(row: PullRow) -> StoreResult<Self> {
        let name = Row { table: "pull_request", key: &row.number };
        let head = |text: Option<&String>| text.map(|text| name.read(Head::parse(text))).transpose();
        Ok(Self {
            forge: name.word(&row.forge)?,
            number: name.read(u64::try_from(row.number))?,
            state: name.word(&row.state)?,
            branch: name.read(BranchName::parse_any(&row.branch))?,
            target: name.read(BranchName::parse(&row.target))?,
            labels: name.json(&row.labels)?,
            head: head(row.head.as_ref())?,
            merge_commit: head(row.merge_commit.as_ref())?,
            draft: row.draft != 0,
            changed_at: row.changed_at.map(Timestamp::from_millis),
            title: row.title,
            author: row.author,
            source: row.source,
            url: row.url,
            fork: row.fork,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{branch, home, moment, new_environment, repo};
    use super::*;
    use crate::domain::forge::Forge;
    use crate::domain::pull_request::{PullState, sample};

    async fn told(store: &Store, change: PullChange, pull: &PullRequest) {
        let mut transaction = store.write().await.unwrap();
        put(&mut transaction, &repo(), change, pull).await.unwrap();
        transaction.commit().await.unwrap();
    }

    fn at(millis: i64, state: PullState) -> PullRequest {
        let labels = vec!["a \"b\"".to_owned()];
        PullRequest { changed_at: Some(moment(millis)), state, labels, ..sample(7, "x", 'a') }
    }

    #[tokio::test]
    async fn the_newest_word_counts_whatever_the_order() {
        let (_folder, store) = home().await;
        let (open, closed) = (at(1, PullState::Open), at(3, PullState::Closed));
        told(&store, PullChange::Closed, &closed).await;
        told(&store, PullChange::Opened, &open).await;
        told(&store, PullChange::Updated, &at(2, PullState::Open)).await;
        assert_eq!(store.pulls_of(&repo(), &branch("x")).await.unwrap(), [closed], "the others came late");
        let merged = at(4, PullState::Merged);
        told(&store, PullChange::Merged, &merged).await;
        told(&store, PullChange::Reopened, &at(5, PullState::Open)).await;
        assert_eq!(
            store.pulls_of(&repo(), &branch("x")).await.unwrap(),
            std::slice::from_ref(&merged),
            "merged for good"
        );
        let second = PullRequest { changed_at: None, ..sample(9, "x", 'b') };
        told(&store, PullChange::Opened, &second).await;
        let open = BTreeMap::from([(branch("x"), vec![second.clone()])]);
        assert_eq!(store.pulls(&repo()).await.unwrap(), open, "nobody asks what became of the others");
        store.create_environment(new_environment("x", 1)).await.unwrap();
        let all = BTreeMap::from([(branch("x"), vec![second, merged])]);
        assert_eq!(store.pulls(&repo()).await.unwrap(), all);
    }

    #[tokio::test]
    async fn what_is_told_again_is_meant_again() {
        let (_folder, store) = home().await;
        let (open, closed) = (at(1, PullState::Open), at(2, PullState::Closed));
        told(&store, PullChange::Opened, &open).await;
        told(&store, PullChange::Closed, &closed).await;
        told(&store, PullChange::Opened, &open).await;
        assert_eq!(store.pulls_of(&repo(), &branch("x")).await.unwrap(), std::slice::from_ref(&open));
        told(&store, PullChange::Reopened, &at(3, PullState::Open)).await;
        let closed = at(4, PullState::Closed);
        told(&store, PullChange::Closed, &closed).await;
        told(&store, PullChange::Opened, &open).await;
        assert_eq!(store.pulls_of(&repo(), &branch("x")).await.unwrap(), [closed], "this one came late");
    }

    #[tokio::test]
    async fn another_forge_begins_anew() {
        let (_folder, store) = home().await;
        told(&store, PullChange::Merged, &at(9, PullState::Merged)).await;
        let elsewhere = PullRequest { forge: Forge::Gitlab, ..at(1, PullState::Open) };
        told(&store, PullChange::Opened, &elsewhere).await;
        assert_eq!(store.pulls_of(&repo(), &branch("x")).await.unwrap(), [elsewhere]);
    }
}
