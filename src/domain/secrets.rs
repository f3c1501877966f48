//! Secrets of a repository: how they are called, which a branch gets, and why it does not get one.
//!
//! A set is all secrets with the same branch pattern. A branch gets one set: that of the most specific pattern that
//! matches it. What is not in it is missing, even where a wider set has it: whoever gives release branches a set of
//! their own does not want the common values there by mistake. A fork gets nothing at all.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::branches::BranchGlobs;
use super::names::{BranchName, RepoName};
use super::time::Timestamp;

/// The pattern of secrets that are for every branch.
pub const EVERY_BRANCH: &str = "**";
/// Shorter values would be found everywhere by chance, and so could not be kept out of logs.
pub const SHORTEST_VALUE: usize = 6;
/// Most bytes of a value: all its forms are kept in memory.
pub const LONGEST_VALUE: usize = 16 * 1024;
/// Most characters of a name.
const NAME_LIMIT: usize = 64;

/// Name of a secret, and of its file in a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SecretName(String);

impl SecretName {
    /// Letters, digits and `. _ -`, beginning with a letter or an underscore.
    ///
    /// # Errors
    /// When it is empty, too long or has other characters.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !begins || text.len() > NAME_LIMIT || !text.bytes().all(fine) {
            return Err(SecretError::Name(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Where the code of an environment comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A branch of the repository itself: who pushes it may be trusted with what the branch gets.
    Branch,
    /// Somebody else's copy.
    Fork,
}

/// What is known of a secret; not its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Secret {
    pub repo: RepoName,
    pub name: SecretName,
    /// A glob over branch names.
    pub branches: String,
    pub created_at: Timestamp,
    /// When its value was set last.
    pub updated_at: Timestamp,
}

/// A secret with its value, encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    pub secret: Secret,
    pub sealed: Vec<u8>,
}

/// What is wrong with a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    #[error(
        "secret name {0:?}: must have 1 to 64 letters, digits and . _ -, and begin with a letter or an underscore"
    )]
    Name(String),
    #[error("branches: {0}")]
    Pattern(String),
    #[error("value: has {0} bytes; must have at least 6, or it could not be told from other text in logs")]
    Short(usize),
    #[error("value: has {0} bytes; must have 16384 at most")]
    Long(usize),
}

/// Folder of a service's secrets below that of its environment. A service may be named `..`; its folder is not.
pub fn service_folder(service: &str) -> String {
    format!("of-{service}")
}

/// # Errors
/// When the pattern is no glob over branch names.
pub fn check_pattern(pattern: &str) -> Result<(), SecretError> {
    if pattern.is_empty() {
        return Err(SecretError::Pattern(
            "must be a glob over branch names, for instance release/**".to_owned(),
        ));
    }
    BranchGlobs::parse(vec![pattern.to_owned()]).map(|_| ()).map_err(SecretError::Pattern)
}

/// # Errors
/// When the value is too short (white space around it apart) or too long.
pub fn check_value(value: &[u8]) -> Result<(), SecretError> {
    let visible = value.trim_ascii().len();
    if visible < SHORTEST_VALUE {
        return Err(SecretError::Short(visible));
    }
    if value.len() > LONGEST_VALUE {
        return Err(SecretError::Long(value.len()));
    }
    Ok(())
}

/// The secrets that one branch gets.
#[derive(Debug, Default)]
pub struct Chosen<'a> {
    /// None: no pattern matches, or it is a fork.
    pub pattern: Option<&'a str>,
    pub secrets: BTreeMap<&'a SecretName, &'a SealedSecret>,
}

/// What the branch gets of a repository's secrets.
pub fn choose<'a>(all: &'a [SealedSecret], branch: &BranchName, trust: Trust) -> Chosen<'a> {
    if trust == Trust::Fork {
        return Chosen::default();
    }
    let matches =
        |pattern: &str| BranchGlobs::parse(vec![pattern.to_owned()]).is_ok_and(|globs| globs.matches(branch));
    let patterns = all.iter().map(|it| it.secret.branches.as_str()).filter(|pattern| matches(pattern));
    let Some(pattern) = patterns.max_by_key(|pattern| specificity(pattern, branch)) else {
        return Chosen::default();
    };
    let set = all.iter().filter(|it| it.secret.branches == pattern);
    Chosen { pattern: Some(pattern), secrets: set.map(|it| (&it.secret.name, it)).collect() }
}

impl Chosen<'_> {
    /// Why the branch does not get the secret, and what to do.
    pub fn missing(
        &self,
        name: &SecretName,
        (repo, branch): (&RepoName, &BranchName),
        trust: Trust,
    ) -> String {
        match (self.pattern, trust) {
            (_, Trust::Fork) => {
                format!("secret {name}: a fork gets no secrets of {repo}; leave it out there")
            }
            (Some(EVERY_BRANCH), Trust::Branch) | (None, Trust::Branch) => format!(
                "secret {name}: {repo} has none of this name for {branch}; `drey secret set {repo} {name}` sets it"
            ),
            (Some(pattern), Trust::Branch) => format!(
                "secret {name}: {branch} gets the secrets of `{pattern}` and no others, and there is none of this name \
                 among them; `drey secret set {repo} {name} --branches '{pattern}'` sets it"
            ),
        }
    }
}

/// The branch's own name comes first, then what fixes most of it from its beginning, then what fixes most of it.
fn specificity<'a>(
    pattern: &'a str,
    branch: &BranchName,
) -> (bool, usize, usize, Reverse<usize>, Reverse<&'a str>) {
    let is_special = |c: char| "*?[]{}\\".contains(c);
    let literal = pattern.chars().filter(|c| !is_special(*c)).count();
    let beginning = pattern.chars().take_while(|c| !is_special(*c)).count();
    let crossing = pattern.matches("**").count();
    (pattern == branch.as_str(), beginning, literal, Reverse(crossing), Reverse(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, branches: &str) -> SealedSecret {
        let at = Timestamp::from_millis(0);
        SealedSecret {
            secret: Secret {
                repo: RepoName::parse("shop").unwrap(),
                name: SecretName::parse(name).unwrap(),
                branches: branches.to_owned(),
                created_at: at,
                updated_at: at,
            },
            sealed: format!("{name} of {branches}").into_bytes(),
        }
    }

    fn branch(name: &str) -> BranchName {
        BranchName::parse(name).unwrap()
    }

    fn of(all: &[SealedSecret], name: &str) -> Option<String> {
        choose(all, &branch(name), Trust::Branch).pattern.map(str::to_owned)
    }

    #[test]
    fn the_most_specific_pattern_decides() {
        let all = ["**", "*", "release/**", "release/*", "release/2.*", "release/2.0", "*/hotfix"]
            .map(|pattern| secret("A", pattern));
        for (name, pattern) in [
            ("a/b/c", "**"),
            ("topic", "*"),
            ("x/hotfix", "*/hotfix"),
            ("release/a/b", "release/**"),
            ("release/1.0", "release/*"),
            ("release/2.1", "release/2.*"),
            ("release/2.0", "release/2.0"),
            ("release/hotfix", "release/*"),
        ] {
            assert_eq!(of(&all, name).as_deref(), Some(pattern), "{name}");
        }
        assert_eq!(of(&all[2..3], "topic"), None);
    }

    #[test]
    fn a_narrower_set_never_falls_back_to_a_wider_one() {
        let all = [secret("A", "**"), secret("B", "**"), secret("A", "release/**")];
        let release = branch("release/1");
        let chosen = choose(&all, &release, Trust::Branch);
        let names: Vec<String> = chosen.secrets.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["A"]);
        assert_eq!(chosen.secrets.values().next().unwrap().sealed, b"A of release/**");
        let (repo, b) = (RepoName::parse("shop").unwrap(), SecretName::parse("B").unwrap());
        let told = chosen.missing(&b, (&repo, &release), Trust::Branch);
        assert!(told.contains("drey secret set shop B --branches 'release/**'"), "{told}");
        let none = choose(&[], &release, Trust::Branch).missing(&b, (&repo, &release), Trust::Branch);
        assert!(none.ends_with("`drey secret set shop B` sets it"), "{none}");
    }

    #[test]
    fn a_fork_gets_nothing() {
        let all = [secret("A", "**"), secret("A", "topic")];
        let chosen = choose(&all, &branch("topic"), Trust::Fork);
        assert!(chosen.secrets.is_empty() && chosen.pattern.is_none());
        let (repo, a) = (RepoName::parse("shop").unwrap(), SecretName::parse("A").unwrap());
        assert!(
            chosen.missing(&a, (&repo, &branch("topic")), Trust::Fork).contains("a fork gets no secrets")
        );
    }

    #[test]
    fn names_and_values_are_bounded() {
        for good in ["A", "_x", "db-password.txt"] {
            assert!(SecretName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".x", "a/b", "1a", "a b", &"a".repeat(65)] {
            assert!(SecretName::parse(bad).is_err(), "{bad}");
        }
        assert!(check_value(b"123456").is_ok() && check_value(&vec![b'x'; LONGEST_VALUE]).is_ok());
        assert_eq!(check_value(b" 12345\n"), Err(SecretError::Short(5)));
        assert_eq!(check_value(&vec![b'x'; LONGEST_VALUE + 1]), Err(SecretError::Long(LONGEST_VALUE + 1)));
        assert!(check_pattern("release/**").is_ok());
        assert!(check_pattern("").is_err() && check_pattern("a[").is_err());
    }
}
