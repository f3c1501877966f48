//! Secrets of repositories, with their values encrypted: nothing here can read one.

use super::codec::Row;
use super::{Store, StoreResult};
use crate::domain::names::RepoName;
use crate::domain::secrets::{SealedSecret, Secret, SecretName};
use crate::domain::time::Timestamp;

impl Store {
    /// Keeps the secret, in place of one with the same name and pattern.
    pub async fn set_secret(&self, secret: &SealedSecret) -> StoreResult<()> {
        let SealedSecret { secret, sealed } = secret;
        let (repo, name, branches) = (secret.repo.as_str(), secret.name.as_str(), &secret.branches);
        let (created_at, updated_at) = (secret.created_at.as_millis(), secret.updated_at.as_millis());
        let mut transaction = self.write().await?;
        sqlx::query!(
            "INSERT INTO secret (repo, name, branches, sealed, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (repo, name, branches) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
            repo,
            name,
            branches,
            sealed,
            created_at,
            updated_at
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// All of a repository, or all there are; by repository, name and pattern.
    pub async fn secrets(&self, repo: Option<&RepoName>) -> StoreResult<Vec<SealedSecret>> {
        let repo = repo.map(RepoName::as_str);
        let rows = sqlx::query!(
            "SELECT repo, name, branches, sealed, created_at, updated_at FROM secret
             WHERE ?1 IS NULL OR repo = ?1 ORDER BY repo, name, branches",
            repo
        )
        .fetch_all(&self.readers)
        .await?;
        let mut secrets = Vec::new();
        for found in rows {
            let row = Row { table: "secret", key: &found.name };
            let secret = Secret {
                repo: row.read(RepoName::parse(&found.repo))?,
                name: row.read(SecretName::parse(&found.name))?,
                branches: found.branches,
                created_at: Timestamp::from_millis(found.created_at),
                updated_at: Timestamp::from_millis(found.updated_at),
            };
            secrets.push(SealedSecret { secret, sealed: found.sealed });
        }
        Ok(secrets)
    }

    /// Forgets it; says whether there was one.
    pub async fn remove_secret(
        &self,
        repo: &RepoName,
        name: &SecretName,
        branches: &str,
    ) -> StoreResult<bool> {
        let (repo, name) = (repo.as_str(), name.as_str());
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "DELETE FROM secret WHERE repo = ? AND name = ? AND branches = ?",
            repo,
            name,
            branches
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{home, moment, repo};
    use super::*;

    #[tokio::test]
    async fn a_secret_is_kept_replaced_and_removed() {
        let (_folder, store) = home().await;
        let other = RepoName::parse("other").unwrap();
        let secret = |repo: &RepoName, branches: &str, value: &str, at| SealedSecret {
            secret: Secret {
                repo: repo.clone(),
                name: SecretName::parse("A").unwrap(),
                branches: branches.to_owned(),
                created_at: moment(at),
                updated_at: moment(at),
            },
            sealed: value.as_bytes().to_vec(),
        };
        for it in [
            secret(&repo(), "**", "one", 1),
            secret(&repo(), "release/**", "two", 2),
            secret(&other, "**", "three", 3),
            secret(&repo(), "**", "four", 4),
        ] {
            store.set_secret(&it).await.unwrap();
        }
        let found = store.secrets(Some(&repo())).await.unwrap();
        let values: Vec<&[u8]> = found.iter().map(|it| it.sealed.as_slice()).collect();
        assert_eq!(values, [&b"four"[..], b"two"]);
        assert_eq!((found[0].secret.created_at, found[0].secret.updated_at), (moment(1), moment(4)));
        assert_eq!(store.secrets(None).await.unwrap().len(), 3);

        let name = SecretName::parse("A").unwrap();
        assert!(store.remove_secret(&repo(), &name, "**").await.unwrap());
        assert!(!store.remove_secret(&repo(), &name, "**").await.unwrap());
        assert_eq!(store.secrets(Some(&repo())).await.unwrap().len(), 1);
    }
}
