//! Which branch owns which slug: stored, never recomputed.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::codec::Row;
use super::{Store, StoreError, StoreResult};
use crate::domain::names::{BranchName, EnvironmentId, RepoName, Slug};
use crate::domain::slug::candidates;
use crate::domain::time::Timestamp;

/// How long after its end the slug of a branch, and the hosts under it, are nobody else's.
pub const SLUG_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

impl Store {
    /// Forgets the hosts of environments whose hold is over; says how many. Their slug stays theirs until another
    /// branch wants it.
    pub async fn end_holds(&self, now: Timestamp) -> StoreResult<u64> {
        let limit = hold_limit(now);
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "DELETE FROM route WHERE environment IN (
                 SELECT environment.id FROM environment JOIN slug ON slug.slug = environment.slug
                 WHERE slug.freed_at <= ?)",
            limit
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    /// The slug that the branch has, or would get now; claims nothing.
    pub async fn slug_of(&self, repo: &RepoName, branch: &BranchName, now: Timestamp) -> StoreResult<Slug> {
        let mut connection = self.readers.acquire().await?;
        if let Some(slug) = owned(&mut connection, repo, branch).await? {
            return Ok(slug);
        }
        first_free(&mut connection, repo, branch, now).await
    }
}

/// The branch's slug: the one it had, else the first that nobody owns or holds.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    repo: &RepoName,
    branch: &BranchName,
    now: Timestamp,
) -> StoreResult<Slug> {
    if let Some(slug) = owned(connection, repo, branch).await? {
        let label = slug.as_str();
        sqlx::query!("UPDATE slug SET freed_at = NULL WHERE slug = ?", label).execute(connection).await?;
        return Ok(slug);
    }
    let slug = first_free(connection, repo, branch, now).await?;
    let (label, repo, full_ref) = (slug.as_str(), repo.as_str(), branch.full_ref());
    sqlx::query!("DELETE FROM route WHERE environment IN (SELECT id FROM environment WHERE slug = ?)", label)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "INSERT OR REPLACE INTO slug (slug, repo, full_ref) VALUES (?, ?, ?)",
        label,
        repo,
        full_ref
    )
    .execute(connection)
    .await?;
    Ok(slug)
}

/// Starts the hold.
pub(super) async fn free(connection: &mut SqliteConnection, slug: &Slug, now: Timestamp) -> StoreResult<()> {
    let (label, now) = (slug.as_str(), now.as_millis());
    sqlx::query!("UPDATE slug SET freed_at = ? WHERE slug = ?", now, label).execute(connection).await?;
    Ok(())
}

/// Hosts that the branch had in its life before lead to its new environment.
pub(super) async fn inherit_routes(
    connection: &mut SqliteConnection,
    slug: &Slug,
    heir: EnvironmentId,
) -> StoreResult<()> {
    let label = slug.as_str();
    sqlx::query!(
        "UPDATE route SET environment = ?1 WHERE environment IN (SELECT id FROM environment WHERE slug = ?2)",
        heir.0,
        label
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn owned(
    connection: &mut SqliteConnection,
    repo: &RepoName,
    branch: &BranchName,
) -> StoreResult<Option<Slug>> {
    let (repo, full_ref) = (repo.as_str(), branch.full_ref());
    let label = sqlx::query_scalar!("SELECT slug FROM slug WHERE repo = ? AND full_ref = ?", repo, full_ref)
        .fetch_optional(connection)
        .await?;
    label.map(|label| Row { table: "slug", key: &label }.read(Slug::parse(&label))).transpose()
}

async fn first_free(
    connection: &mut SqliteConnection,
    repo: &RepoName,
    branch: &BranchName,
    now: Timestamp,
) -> StoreResult<Slug> {
    let limit = hold_limit(now);
    for slug in candidates(repo, branch) {
        let label = slug.as_str();
        let taken = sqlx::query_scalar!(
            "SELECT 1 FROM slug WHERE slug = ? AND (freed_at IS NULL OR freed_at > ?)",
            label,
            limit
        )
        .fetch_optional(&mut *connection)
        .await?;
        if taken.is_none() {
            return Ok(slug);
        }
    }
    Err(StoreError::NoSlug { name: format!("{repo}/{branch}") })
}

/// What was freed at or before this moment is held no more.
fn hold_limit(now: Timestamp) -> i64 {
    now.as_millis().saturating_sub(i64::try_from(SLUG_HOLD.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{branch, home, moment, new_environment, repo};
    use super::super::{NewEnvironment, StateChange, StoredRoute};
    use super::*;
    use crate::domain::environment::{Environment, Phase};
    use crate::domain::route::Scheme;
    use crate::domain::stack::RouteSpec;

    const HOLD: i64 = 24 * 60 * 60 * 1000;

    async fn begin(store: &Store, name: &str, millis: i64) -> Environment {
        store.create_environment(new_environment(name, millis)).await.unwrap()
    }

    async fn end(store: &Store, environment: &Environment, millis: i64) {
        let change = StateChange::to(Phase::Archived);
        let done = store.update_state(environment.id, environment.generation, &change, moment(millis)).await;
        assert!(done.unwrap().is_some());
    }

    fn primary(host: &str) -> StoredRoute {
        let route = RouteSpec {
            service: "web".to_owned(),
            port: 80,
            scheme: Scheme::Http,
            label: String::new(),
            path: Default::default(),
            strip_path: false,
            network: "default".to_owned(),
            host_service: None,
            manner: Default::default(),
        };
        StoredRoute { host: host.to_owned(), route }
    }

    #[tokio::test]
    async fn the_first_owner_keeps_the_clean_slug() {
        let (_folder, store) = home().await;
        let names = ["feature-a", "feature/a", "Feature/A"];
        let would = store.slug_of(&repo(), &branch(names[0]), moment(1)).await.unwrap();
        let mut slugs = Vec::new();
        for name in names {
            slugs.push(begin(&store, name, 1).await.slug);
        }
        assert_eq!(slugs[0].as_str(), "feature-a");
        assert_eq!(would, slugs[0]);
        for (name, slug) in names.iter().zip(&slugs) {
            assert_eq!(&store.slug_of(&repo(), &branch(name), moment(1)).await.unwrap(), slug);
        }
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), 3);

        let elsewhere =
            NewEnvironment { repo: RepoName::parse("other").unwrap(), ..new_environment("feature/a", 1) };
        let elsewhere = store.create_environment(elsewhere).await.unwrap();
        assert!(!slugs.contains(&elsewhere.slug), "slugs are unique over all repositories");
    }

    #[tokio::test]
    async fn a_branch_comes_back_to_its_slug_and_its_hosts() {
        let (_folder, store) = home().await;
        let first = begin(&store, "feature/a", 1).await;
        store.set_routes(first.id, &[primary("feature-a.qa.example")]).await.unwrap();
        end(&store, &first, 2).await;
        assert_eq!(store.routes(first.id).await.unwrap().len(), 1, "the host still answers");
        let second = begin(&store, "feature/a", 2 * HOLD).await;
        assert_eq!(second.slug, first.slug);
        assert_ne!(second.id, first.id);
        assert_ne!(second.project, first.project);
        assert_eq!(store.routes(first.id).await.unwrap(), []);
        assert_eq!(store.routes(second.id).await.unwrap(), [primary("feature-a.qa.example")]);
        end(&store, &second, 2 * HOLD + 1).await;
        assert_eq!(begin(&store, "feature/a", 2 * HOLD + 2).await.slug, first.slug);
    }

    #[tokio::test]
    async fn a_freed_slug_is_held_for_a_day() {
        let (_folder, store) = home().await;
        let first = begin(&store, "feature/a", 1).await;
        store.set_routes(first.id, &[primary("feature-a.qa.example")]).await.unwrap();
        end(&store, &first, 10).await;

        let early = begin(&store, "feature-a", 9 + HOLD).await;
        assert_ne!(early.slug, first.slug);
        assert_eq!(store.end_holds(moment(9 + HOLD)).await.unwrap(), 0);
        let late = begin(&store, "Feature/A", 10 + HOLD).await;
        assert_eq!(late.slug, first.slug);
        assert_eq!(store.all_routes().await.unwrap(), [], "the new owner inherits nothing");

        let third = begin(&store, "feature/a", 11 + HOLD).await;
        assert_ne!(third.slug, first.slug, "it went to another branch meanwhile");
        assert_ne!(third.slug, early.slug);
    }

    #[tokio::test]
    async fn hosts_go_with_the_hold() {
        let (_folder, store) = home().await;
        let first = begin(&store, "feature/a", 1).await;
        let second = begin(&store, "feature/b", 1).await;
        store.set_routes(first.id, &[primary("feature-a.qa.example")]).await.unwrap();
        store.set_routes(second.id, &[primary("feature-b.qa.example")]).await.unwrap();
        end(&store, &first, 10).await;
        assert_eq!(store.end_holds(moment(10 + HOLD)).await.unwrap(), 1);
        let left = store.all_routes().await.unwrap();
        assert_eq!(left, [(second.id, vec![primary("feature-b.qa.example")])]);
    }
}
