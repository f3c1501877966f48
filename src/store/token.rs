//! Tokens of the API: what they are for, and the SHA-256 by which they are known.

use super::codec::{Row, word};
use super::{Store, StoreResult};
use crate::domain::access::{Token, TokenName};
use crate::domain::time::Timestamp;
use crate::domain::visitors::KnownTokens;

impl Store {
    /// Adds a token; says whether its name was free.
    pub async fn add_token(&self, token: &Token, hash: &[u8; 32]) -> StoreResult<bool> {
        let (name, role, hash) = (token.name.as_str(), word(&token.role)?, &hash[..]);
        let (created_at, expires_at) =
            (token.created_at.as_millis(), token.expires_at.map(Timestamp::as_millis));
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "INSERT INTO token (name, role, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (name) DO NOTHING",
            name,
            role,
            hash,
            created_at,
            expires_at
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// All there are, by name.
    pub async fn tokens(&self) -> StoreResult<Vec<Token>> {
        let rows = sqlx::query!("SELECT name, role, created_at, expires_at FROM token ORDER BY name")
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(|row| read(&row.name, &row.role, row.created_at, row.expires_at)).collect()
    }

    /// The token with this hash; an expired one too.
    pub async fn token(&self, hash: &[u8; 32]) -> StoreResult<Option<Token>> {
        let hash = &hash[..];
        let row = sqlx::query!("SELECT name, role, created_at, expires_at FROM token WHERE hash = ?", hash)
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| read(&row.name, &row.role, row.created_at, row.expires_at)).transpose()
    }

    /// By their hashes, with their ends.
    pub async fn known_tokens(&self) -> StoreResult<KnownTokens> {
        let rows = sqlx::query!("SELECT name, hash, expires_at FROM token").fetch_all(&self.readers).await?;
        let read = |name: &str, hash: &[u8], end: Option<i64>| {
            let row = Row { table: "token", key: &name };
            let hash = row.read(hash.try_into().map_err(|error| format!("its hash: {error}")))?;
            Ok((hash, end.map(Timestamp::from_millis)))
        };
        rows.iter().map(|row| read(&row.name, &row.hash, row.expires_at)).collect()
    }

    /// From now on it counts no more, and its name is free; says whether there was one.
    pub async fn revoke_token(&self, name: &TokenName) -> StoreResult<bool> {
        let name = name.as_str();
        let mut transaction = self.write().await?;
        let done = sqlx::query!("DELETE FROM token WHERE name = ?", name).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

fn read(name: &str, role: &str, created_at: i64, expires_at: Option<i64>) -> StoreResult<Token> {
    let row = Row { table: "token", key: &name };
    Ok(Token {
        name: row.read(TokenName::parse(name))?,
        role: row.word(role)?,
        created_at: Timestamp::from_millis(created_at),
        expires_at: expires_at.map(Timestamp::from_millis),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{home, moment};
    use super::*;
    use crate::domain::access::Role;

    #[tokio::test]
    async fn a_token_is_found_by_its_hash_until_it_is_revoked() {
        let (_folder, store) = home().await;
        let token = |name: &str, role| Token {
            name: TokenName::parse(name).unwrap(),
            role,
            created_at: moment(1),
            expires_at: Some(moment(5)),
        };
        let (anna, ci) = (token("anna", Role::Developer), token("ci", Role::Admin));
        assert!(store.add_token(&anna, &[1; 32]).await.unwrap());
        assert!(store.add_token(&ci, &[2; 32]).await.unwrap());
        assert!(!store.add_token(&token("anna", Role::Admin), &[3; 32]).await.unwrap(), "the name is taken");
        assert_eq!(store.tokens().await.unwrap(), [anna.clone(), ci.clone()]);
        assert_eq!(store.token(&[1; 32]).await.unwrap(), Some(anna.clone()));
        assert_eq!(store.token(&[3; 32]).await.unwrap(), None);
        let end = Some(moment(5));
        assert_eq!(store.known_tokens().await.unwrap(), [([1; 32], end), ([2; 32], end)].into());

        assert!(store.revoke_token(&anna.name).await.unwrap());
        assert!(!store.revoke_token(&anna.name).await.unwrap());
        assert_eq!(store.token(&[1; 32]).await.unwrap(), None);
        assert_eq!(store.tokens().await.unwrap(), [ci]);
    }
}
