//! Who may do what with the API: roles, and the tokens that have them.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::time::Timestamp;

/// Most characters of a token's name.
const NAME_LIMIT: usize = 64;

/// What the bearer of a token may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at everything, opens logs, wakes what sleeps.
    Qa,
    /// Also deploys, lets sleep, archives and restores.
    Developer,
    /// Everything that the API has.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Qa, Self::Developer, Self::Admin];

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Qa => "qa",
            Self::Developer => "developer",
            Self::Admin => "admin",
        }
    }

    /// Reads what [`Role::word`] wrote.
    ///
    /// # Errors
    /// When it is none of the words.
    pub fn parse(text: &str) -> Result<Self, AccessError> {
        let found = Self::ALL.into_iter().find(|role| role.word() == text);
        found.ok_or(AccessError("role: must be qa, developer or admin"))
    }
}

/// How people call a token. It is in the log beside what was done with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TokenName(String);

impl TokenName {
    /// Letters, digits and `. _ @ -`, beginning with a letter or a digit.
    ///
    /// # Errors
    /// When it is empty, too long or has other characters.
    pub fn parse(text: &str) -> Result<Self, AccessError> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins || text.len() > NAME_LIMIT || !text.bytes().all(fine) {
            return Err(AccessError(
                "name: must have 1 to 64 letters, digits and . _ @ -, and begin with a letter or a digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a token; not the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    pub name: TokenName,
    pub role: Role,
    pub created_at: Timestamp,
    /// None: until it is revoked.
    pub expires_at: Option<Timestamp>,
}

impl Token {
    /// Whether it counts at this moment.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// What is wrong with a role or a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct AccessError(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_steps() {
        assert!(Role::Qa < Role::Developer && Role::Developer < Role::Admin);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.word()), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
        }
        assert!(Role::parse("root").is_err());
    }

    #[test]
    fn a_name_is_fit_for_logs_and_paths() {
        for good in ["a", "anna@example.org", "ci-2", &"a".repeat(64)] {
            assert!(TokenName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "a\n", "größe", &"a".repeat(65)] {
            assert!(TokenName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_counts_until_its_end() {
        let at = Timestamp::from_millis;
        let token = |expires_at| Token {
            name: TokenName::parse("a").unwrap(),
            role: Role::Qa,
            created_at: at(0),
            expires_at,
        };
        assert!(token(None).is_good(at(1_000_000)));
        assert!(token(Some(at(10))).is_good(at(9)));
        assert!(!token(Some(at(10))).is_good(at(10)));
    }
}
