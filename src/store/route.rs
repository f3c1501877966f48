//! The hostnames of environments.

use super::codec::Row;
use super::{Store, StoreError, StoreResult};
use crate::domain::names::EnvironmentId;
use crate::domain::stack::RouteSpec;

/// A full hostname and the service it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRoute {
    /// Lower-case, without port.
    pub host: String,
    pub route: RouteSpec,
}

impl Store {
    /// The routes of an environment, the primary first. They outlive it until its slug's hold is over.
    pub async fn routes(&self, id: EnvironmentId) -> StoreResult<Vec<StoredRoute>> {
        let rows =
            sqlx::query_as!(RouteRow, "SELECT * FROM route WHERE environment = ? ORDER BY place", id.0)
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(RouteRow::read).collect()
    }

    /// Replaces the routes of an environment, in this order.
    pub async fn set_routes(&self, id: EnvironmentId, routes: &[StoredRoute]) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        sqlx::query!("DELETE FROM route WHERE environment = ?", id.0).execute(&mut *transaction).await?;
        for (place, stored) in routes.iter().enumerate() {
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            let (host, spec) = (written(stored), serde_json::to_string(&stored.route)?);
            sqlx::query!(
                "INSERT INTO route (environment, place, host, spec) VALUES (?, ?, ?, ?)",
                id.0,
                place,
                host,
                spec
            )
            .execute(&mut *transaction)
            .await
            .map_err(|error| host_taken(error, &stored.host))?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The routes of all environments that have some, by environment.
    pub async fn all_routes(&self) -> StoreResult<Vec<(EnvironmentId, Vec<StoredRoute>)>> {
        let rows = sqlx::query_as!(RouteRow, "SELECT * FROM route ORDER BY environment, place")
            .fetch_all(&self.readers)
            .await?;
        let groups = rows.chunk_by(|one, next| one.environment == next.environment);
        groups
            .map(|group| {
                let routes = group.iter().map(RouteRow::read).collect::<StoreResult<_>>()?;
                Ok((EnvironmentId(group.first().map_or(0, |row| row.environment)), routes))
            })
            .collect()
    }
}

fn host_taken(error: sqlx::Error, host: &str) -> StoreError {
    if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
        return StoreError::HostTaken { host: host.to_owned() };
    }
    error.into()
}

/// The host with the path behind it that its services are told apart by: no two routes are at the same place.
fn written(stored: &StoredRoute) -> String {
    let path = &stored.route.path;
    if path.is_root() { stored.host.clone() } else { format!("{}{path}", stored.host) }
}

struct RouteRow {
    environment: i64,
    #[expect(dead_code, reason = "the order of the rows says it")]
    place: i64,
    host: String,
    spec: String,
}

impl RouteRow {
    fn read(&self) -> StoreResult<StoredRoute> {
        let name = Row { table: "route", key: &self.host };
        let host = self.host.split('/').next().unwrap_or_default().to_owned();
        Ok(StoredRoute { host, route: name.json(&self.spec)? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{home, new_environment};
    use super::*;
    use crate::domain::path::PathPrefix;
    use crate::domain::route::Scheme;

    fn stored(host: &str, service: &str) -> StoredRoute {
        let route = RouteSpec {
            service: service.to_owned(),
            port: 8080,
            scheme: Scheme::H2c,
            label: service.to_owned(),
            path: Default::default(),
            strip_path: false,
            network: "p_default".to_owned(),
            host_service: None,
            manner: Default::default(),
        };
        StoredRoute { host: host.to_owned(), route }
    }

    #[tokio::test]
    async fn routes_keep_their_order_and_are_replaced_as_a_whole() {
        let (_folder, store) = home().await;
        let first = store.create_environment(new_environment("a", 1)).await.unwrap().id;
        let second = store.create_environment(new_environment("b", 1)).await.unwrap().id;
        let routes = [stored("z.example", "web"), stored("a.example", "api")];
        store.set_routes(first, &routes).await.unwrap();
        store.set_routes(first, &routes).await.unwrap();
        store.set_routes(second, &[stored("b.example", "web")]).await.unwrap();
        assert_eq!(store.routes(first).await.unwrap(), routes);
        let all = store.all_routes().await.unwrap();
        assert_eq!(all, [(first, routes.to_vec()), (second, vec![stored("b.example", "web")])]);
    }

    #[tokio::test]
    async fn a_host_has_one_owner() {
        let (_folder, store) = home().await;
        let first = store.create_environment(new_environment("a", 1)).await.unwrap().id;
        let second = store.create_environment(new_environment("b", 1)).await.unwrap().id;
        store.set_routes(first, &[stored("a.example", "web")]).await.unwrap();
        store.set_routes(second, &[stored("b.example", "web")]).await.unwrap();
        let error = store.set_routes(second, &[stored("a.example", "web")]).await.unwrap_err();
        assert_eq!(error.to_string(), "host a.example belongs to another environment");
        assert_eq!(store.routes(second).await.unwrap(), [stored("b.example", "web")], "nothing was changed");
    }

    #[tokio::test]
    async fn services_share_a_host_by_their_paths() {
        let (_folder, store) = home().await;
        let (web, mut api) = (stored("a.example", "web"), stored("a.example", "api"));
        let id = store.create_environment(new_environment("a", 1)).await.unwrap().id;
        assert!(store.set_routes(id, &[web.clone(), api.clone()]).await.is_err(), "at the same path");
        (api.route.path, api.route.strip_path) = (PathPrefix::parse("/api").unwrap(), true);
        store.set_routes(id, &[web.clone(), api.clone()]).await.unwrap();
        assert_eq!(store.routes(id).await.unwrap(), [web, api]);
    }
}
