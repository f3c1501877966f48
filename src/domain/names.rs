//! Names that parse: a value of these types is known to be well formed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why a text is not the name it claims to be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{what} {value:?} {reason}")]
pub struct NameError {
    pub what: &'static str,
    pub value: String,
    pub reason: &'static str,
}

/// Most bytes that a branch name may have; git itself stops at the file system's 255 per part.
pub const BRANCH_NAME_LIMIT: usize = 244;
/// What stands before the number of a fork's pull request.
const PULL: &str = "pull:";

macro_rules! text_newtype {
    ($(#[$meta:meta])* $name:ident, $read:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::$read(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_newtype! {
    /// The configured name of a repository: 1 to 63 of `a-z 0-9 . _ -`, beginning with a letter or digit.
    RepoName, parse
}

text_newtype! {
    /// A branch name as git spells it, without `refs/heads/`. UTF-8, no leading dash, legal for git.
    /// Never a path, an option or a shell word: pass [`BranchName::full_ref`].
    /// Or `pull:N`, the head of a fork's pull request: no branch is called that, git refuses the colon.
    BranchName, parse_any
}

text_newtype! {
    /// A full object id of a commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
    CommitSha, parse
}

text_newtype! {
    /// The one DNS label an environment lives under: 1 to 40 of `a-z 0-9 -`. Made by `domain::slug` only.
    Slug, parse
}

impl RepoName {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| Err(NameError { what: "repository name", value: text.to_owned(), reason });
        if text.is_empty() || text.len() > 63 {
            return refuse("must have 1 to 63 characters");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
        {
            return refuse("may only have a-z, 0-9, '.', '_' and '-'");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return refuse("must begin with a letter or digit");
        }
        Ok(Self(text.to_owned()))
    }
}

impl BranchName {
    /// The rules of `git check-ref-format --branch`, plus: UTF-8, and at most [`BRANCH_NAME_LIMIT`] bytes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| Err(NameError { what: "branch name", value: text.to_owned(), reason });
        if text.is_empty() || text.len() > BRANCH_NAME_LIMIT {
            return refuse("must have 1 to 244 bytes");
        }
        if text.starts_with('-') {
            return refuse("must not begin with '-'");
        }
        if text == "@" || text == "HEAD" {
            return refuse("is reserved by git");
        }
        if text.bytes().any(|b| b < 0x20 || b == 0x7f || b" ~^:?*[\\".contains(&b)) {
            return refuse("has a character that git refuses");
        }
        if text.contains("..") || text.contains("@{") || text.ends_with('.') {
            return refuse("has '..', '@{' or a dot at its end");
        }
        if text.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
            return refuse("has an empty part, or one that begins with '.' or ends with '.lock'");
        }
        Ok(Self(text.to_owned()))
    }

    /// The head of a fork's pull request.
    pub fn pull(number: u64) -> Self {
        Self(format!("{PULL}{number}"))
    }

    /// Also what is no branch of the repository itself. For what is stored, and for what a person names; never for what
    /// a hook or a forge calls a branch.
    pub fn parse_any(text: &str) -> Result<Self, NameError> {
        let digits = text.strip_prefix(PULL).filter(|digits| !digits.starts_with(['0', '+']));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(number) => Ok(Self::pull(number)),
            None => Self::parse(text),
        }
    }

    /// The number of the fork's pull request whose head it is.
    pub fn pull_number(&self) -> Option<u64> {
        self.0.strip_prefix(PULL)?.parse().ok()
    }

    /// What names it in the repository, whatever its forge calls the heads of pull requests.
    pub fn full_ref(&self) -> String {
        match self.pull_number() {
            Some(number) => format!("refs/pull/{number}/head"),
            None => format!("refs/heads/{}", self.0),
        }
    }
}

impl CommitSha {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && matches!(text.len(), 40 | 64) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            what: "commit",
            value: text.to_owned(),
            reason: "must be 40 or 64 lower-case hexadecimal digits",
        })
    }

    /// Git writes an id of zeros for "there is none".
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl Slug {
    /// Accepts what `domain::slug` makes: also for reading back what the database stored.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let legal = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if legal && (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError { what: "slug", value: text.to_owned(), reason: "is not a DNS label" })
    }
}

/// Row id of an environment; never used again, not even for the same branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvironmentId(pub i64);

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of an environment's intent; rises by one with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub i64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which daemon owns a thing on the engine: six characters, drawn once per data directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compose project of an environment: `drey-<instance>-<id>-<slug>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectName(String);

impl ProjectName {
    pub fn new(instance: &InstanceId, environment: EnvironmentId, slug: &Slug) -> Self {
        Self(format!("drey-{instance}-{environment}-{slug}"))
    }

    /// What every project of this daemon begins with. Labels alone prove nothing.
    pub fn prefix(instance: &InstanceId) -> String {
        format!("drey-{instance}-")
    }

    /// Reads back what [`ProjectName::new`] made.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_names_follow_git() {
        for good in ["feature/x", "a`id`\"b'c;d|e&f", "größe", "+cmd", "a@b@c", "$(rm)", "a/b/c", "{#x#}"] {
            assert!(BranchName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-x",
            "a..b",
            "a b",
            "a~",
            ".a",
            "a/.b",
            "a.lock",
            "a//b",
            "/a",
            "a/",
            "HEAD",
            "@",
            "a\x1b[31m",
            "x.",
        ] {
            assert!(BranchName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_head_of_a_forks_pull_request_is_no_branch() {
        let fork = BranchName::pull(7);
        assert_eq!((fork.as_str(), fork.full_ref().as_str()), ("pull:7", "refs/pull/7/head"));
        assert_eq!(BranchName::parse_any("pull:7"), Ok(fork.clone()));
        assert_eq!(serde_json::from_str::<BranchName>("\"pull:7\"").unwrap(), fork);
        assert_eq!(BranchName::parse_any("pull/7").unwrap().pull_number(), None);
        assert!(BranchName::parse("pull:7").is_err());
        for bad in ["pull:", "pull:07", "pull:+7", "pull:-1", "pull:7x", "pull:99999999999999999999"] {
            assert!(BranchName::parse_any(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn commits_are_full_and_lower_case() {
        assert!(CommitSha::parse(&"a1".repeat(20)).is_ok());
        assert!(CommitSha::parse(&"a1".repeat(32)).is_ok());
        assert!(CommitSha::parse(&"A1".repeat(20)).is_err());
        assert!(CommitSha::parse("a1b2c3").is_err());
        assert!(CommitSha::parse(&"0".repeat(40)).is_ok_and(|sha| sha.is_zero()));
    }
}
