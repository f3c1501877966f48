//! The subnets that networks of environments have.

use std::collections::BTreeMap;

use super::codec::Row;
use super::{Store, StoreResult};
use crate::domain::names::EnvironmentId;
use crate::domain::subnet::{Subnet, lowest_free};

impl Store {
    /// The subnet of each key, in CIDR form: the one it has, else the lowest of `pool` (the setting
    /// `engine.subnets`) that neither another network of ours nor one of `taken` (CIDRs in use on the host by
    /// others; what is not IPv4 is passed over) overlaps. Kept until the environment is over.
    pub async fn allocate_subnets(
        &self,
        id: EnvironmentId,
        keys: &[String],
        pool: &str,
        taken: &[String],
    ) -> StoreResult<BTreeMap<String, String>> {
        let pool = Subnet::parse_pool(pool)?;
        let mut transaction = self.write().await?;
        let rows =
            sqlx::query!("SELECT environment, key, cidr FROM subnet").fetch_all(&mut *transaction).await?;
        let mut used: Vec<Subnet> = taken.iter().filter_map(|cidr| Subnet::parse(cidr).ok()).collect();
        let mut kept = BTreeMap::new();
        for row in rows {
            used.push(Row { table: "subnet", key: &row.cidr }.read(Subnet::parse(&row.cidr))?);
            if row.environment == id.0 {
                kept.insert(row.key, row.cidr);
            }
        }
        let mut allocated = BTreeMap::new();
        for key in keys {
            if let Some(cidr) = kept.get(key).or_else(|| allocated.get(key)) {
                allocated.insert(key.clone(), String::clone(cidr));
                continue;
            }
            let subnet = lowest_free(pool, &used)?;
            let cidr = subnet.to_string();
            sqlx::query!("INSERT INTO subnet (environment, key, cidr) VALUES (?, ?, ?)", id.0, key, cidr)
                .execute(&mut *transaction)
                .await?;
            used.push(subnet);
            allocated.insert(key.clone(), cidr);
        }
        transaction.commit().await?;
        Ok(allocated)
    }

    /// Every subnet that a network of ours has or is about to have, in CIDR form, with its environment.
    pub async fn subnets(&self) -> StoreResult<Vec<(EnvironmentId, String)>> {
        let rows = sqlx::query!("SELECT environment, cidr FROM subnet ORDER BY cidr")
            .fetch_all(&self.readers)
            .await?;
        Ok(rows.into_iter().map(|row| (EnvironmentId(row.environment), row.cidr)).collect())
    }

    /// Gives back what environments that are over still have: their end does so too, in one transaction with their last
    /// phase. Says how many rows there were.
    pub async fn sweep_ended(&self) -> StoreResult<u64> {
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "DELETE FROM subnet WHERE environment IN
                 (SELECT id FROM environment WHERE phase IN ('archived', 'destroyed'))"
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::super::StateChange;
    use super::super::testing::{home, moment, new_environment};
    use crate::domain::environment::Phase;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test]
    async fn subnets_are_kept_for_the_environments_life() {
        let (_folder, store) = home().await;
        let first = store.create_environment(new_environment("a", 1)).await.unwrap();
        let second = store.create_environment(new_environment("b", 1)).await.unwrap();
        let pool = "10.213.0.0/25";
        let taken = keys(&["10.213.0.32/28", "fd00::/64", "172.17.0.0/16"]);

        let got = store
            .allocate_subnets(first.id, &keys(&["default", "back", "default"]), pool, &taken)
            .await
            .unwrap();
        assert_eq!(got["default"], "10.213.0.0/27");
        assert_eq!(got["back"], "10.213.0.64/27");
        let other = store.allocate_subnets(second.id, &keys(&["default"]), pool, &taken).await.unwrap();
        assert_eq!(other["default"], "10.213.0.96/27");

        // Its own networks are on the host by now, and the pool may have been changed.
        let taken = keys(&["10.213.0.0/27"]);
        let again =
            store.allocate_subnets(first.id, &keys(&["default"]), "10.99.0.0/16", &taken).await.unwrap();
        assert_eq!(again, [("default".to_owned(), "10.213.0.0/27".to_owned())].into());

        let all = [(first.id, "10.213.0.0/27"), (first.id, "10.213.0.64/27"), (second.id, "10.213.0.96/27")];
        assert_eq!(store.subnets().await.unwrap(), all.map(|(id, cidr)| (id, cidr.to_owned())));

        let error = store.allocate_subnets(second.id, &keys(&["one", "two"]), pool, &[]).await.unwrap_err();
        assert!(error.to_string().contains("engine.subnets"), "{error}");
        let change = StateChange::to(Phase::Destroyed);
        store.update_state(first.id, first.generation, &change, moment(2)).await.unwrap().unwrap();
        assert_eq!(store.sweep_ended().await.unwrap(), 0, "its end gave them back");
        let freed = store.allocate_subnets(second.id, &keys(&["one", "two"]), pool, &[]).await.unwrap();
        assert_eq!(freed["one"], "10.213.0.0/27", "the failed call took nothing");
        assert_eq!(freed["two"], "10.213.0.32/27");
    }
}
