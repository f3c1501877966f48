//! `access` and what belongs to it: who may look at a repository's branches.

use std::collections::BTreeSet;
use std::time::Duration;

use super::reader::Section;
use super::secret::Secret;

/// How long a link lasts where nothing is said.
const LINK_EXPIRES: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// A link that ends while it is being passed on helps nobody; one that lasts for years is no longer known to be out.
const LINK_BOUNDS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(366 * 24 * 60 * 60);
/// Nobody is kept from trying passwords: they have to be long.
const SHORTEST_PASSWORD: usize = 12;

/// Who may look, as `access` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    Open,
    Link,
    Basic,
    Token,
}

/// Who may look at a repository's branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitors {
    /// None: open while the proxy is reached from this machine only, else by link.
    pub access: Option<AccessMode>,
    pub link_expires: Duration,
    /// For [`AccessMode::Basic`].
    pub users: Vec<User>,
}

/// Somebody with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: Secret,
}

impl Visitors {
    pub(super) fn read(section: &mut Section<'_>, parent: Option<&Self>) -> Self {
        let access = section.read("access", |value| match value.as_str() {
            Some("open") => Ok(AccessMode::Open),
            Some("link") => Ok(AccessMode::Link),
            Some("basic") => Ok(AccessMode::Basic),
            Some("token") => Ok(AccessMode::Token),
            Some(_) | None => Err("must be \"open\", \"link\", \"basic\" or \"token\"".to_owned()),
        });
        let expires = section.duration("link_expires").filter(|expires| {
            let fits = LINK_BOUNDS.contains(expires);
            if !fits {
                section.fault("link_expires", "must be between 1m and 366d, for instance \"14d\"");
            }
            fits
        });
        let users = section.secret(["users", "users_file", "users_env"]).map(|text| {
            users(text.reveal()).unwrap_or_else(|message| {
                section.fault("users", message);
                Vec::new()
            })
        });
        let read = Self {
            access: access.or_else(|| parent?.access),
            link_expires: expires.or_else(|| Some(parent?.link_expires)).unwrap_or(LINK_EXPIRES),
            users: users.or_else(|| Some(parent?.users.clone())).unwrap_or_default(),
        };
        let is_repository = parent.is_some();
        if is_repository && read.access == Some(AccessMode::Basic) && read.users.is_empty() {
            section
                .fault("access", "\"basic\" needs `users`, a line `name:password` for each, or `users_file`");
        }
        read
    }
}

/// A line `name:password` for each; empty lines and those that begin with `#` are nobody.
fn users(text: &str) -> Result<Vec<User>, String> {
    let mut names = BTreeSet::new();
    let mut users = Vec::new();
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    for (number, line) in lines.filter(|(_, line)| !line.starts_with('#')) {
        let number = number + 1;
        let (name, password) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty() && !name.chars().any(char::is_control))
            .ok_or_else(|| format!("line {number}: must be `name:password`"))?;
        if password.chars().count() < SHORTEST_PASSWORD {
            return Err(format!(
                "line {number}: the password of {name} is too short; {SHORTEST_PASSWORD} characters at least, for \
                 instance what `openssl rand -base64 18` prints"
            ));
        }
        if !names.insert(name) {
            return Err(format!("line {number}: {name} is there already; give each name once"));
        }
        users.push(User { name: name.to_owned(), password: Secret::new(password.to_owned()) });
    }
    if users.is_empty() { Err("names nobody; a line `name:password` for each".to_owned()) } else { Ok(users) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_its_password() {
        let read = users("# the testers\nanna:correct:horse!\n\n  ben: battery staple \n").unwrap();
        let read: Vec<_> = read.iter().map(|user| (user.name.as_str(), user.password.reveal())).collect();
        assert_eq!(read, [("anna", "correct:horse!"), ("ben", " battery staple")]);
        for (text, said) in [
            ("anna", "line 1: must be `name:password`"),
            ("\n:correct horse", "line 2: must be"),
            ("anna:short", "the password of anna is too short"),
            ("anna:correct horse\nanna:battery staple", "line 2: anna is there already"),
            ("# nobody", "names nobody"),
        ] {
            let message = users(text).unwrap_err();
            assert!(message.contains(said), "{text}: {message}");
            assert!(!message.contains("horse"), "{message}");
        }
    }
}
