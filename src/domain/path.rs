//! The first part of paths below which a service is reached.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longer ones nobody types.
const LONGEST: usize = 200;

/// Why a text is no path to route by.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct PathError(pub &'static str);

const NO_SLASH: PathError = PathError("must begin with /");
const TOO_LONG: PathError = PathError("must be up to 200 characters long");
const CHARACTER: PathError = PathError("may only have letters, digits, '.', '_', '~', '-' and '/'");
const PART: PathError = PathError("must not have a part that is empty, '.' or '..'");

/// `/`, or a path without a slash at its end. Safe in the configuration of any proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPrefix(String);

impl Default for PathPrefix {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl PathPrefix {
    /// A slash at the end is taken off.
    ///
    /// # Errors
    /// When it is no path of plain parts.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let parts = text.strip_prefix('/').ok_or(NO_SLASH)?;
        if text.len() > LONGEST {
            return Err(TOO_LONG);
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-/".contains(&byte);
        if !parts.bytes().all(is_plain) {
            return Err(CHARACTER);
        }
        if parts.is_empty() {
            return Ok(Self::default());
        }
        let parts = parts.strip_suffix('/').unwrap_or(parts);
        if parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PART);
        }
        Ok(Self(format!("/{parts}")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every path begins with it.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// Whether the path of a request, as it was sent, lies here: `/a` has `/a` and `/a/b`, not `/ab`.
    pub fn has(&self, path: &str) -> bool {
        self.is_root() || self.rest(path).is_some()
    }

    /// The path as the service sees it that knows nothing of the prefix; the query stays. None where it lies elsewhere.
    pub fn strip(&self, path_and_query: &str) -> Option<String> {
        if self.is_root() {
            return Some(path_and_query.to_owned());
        }
        let rest = self.rest(path_and_query)?;
        Some(if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") })
    }

    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.0.as_str()).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PathPrefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PathPrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_plain_and_have_one_form() {
        for (text, path) in [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a/b.c_d~e-f", "/a/b.c_d~e-f")] {
            assert_eq!(PathPrefix::parse(text).unwrap().as_str(), path);
        }
        for (text, why) in [
            ("", NO_SLASH),
            ("a", NO_SLASH),
            ("//", PART),
            ("/a//b", PART),
            ("/a/../b", PART),
            ("/a b", CHARACTER),
            ("/a;return", CHARACTER),
            ("/%61", CHARACTER),
            ("/é", CHARACTER),
        ] {
            assert_eq!(PathPrefix::parse(text), Err(why), "{text}");
        }
        assert_eq!(PathPrefix::parse(&format!("/{}", "a".repeat(200))), Err(TOO_LONG));
    }

    #[test]
    fn a_prefix_ends_where_a_part_ends() {
        let path = PathPrefix::parse("/api").unwrap();
        for (asked, seen) in [
            ("/api", Some("/")),
            ("/api/", Some("/")),
            ("/api/x?y=/api", Some("/x?y=/api")),
            ("/api?y", Some("/?y")),
            ("/apis", None),
            ("/", None),
            ("/x/api", None),
            ("*", None),
        ] {
            assert_eq!(path.strip(asked).as_deref(), seen, "{asked}");
            assert_eq!(path.has(asked), seen.is_some(), "{asked}");
        }
        let root = PathPrefix::default();
        assert!(root.is_root() && root.has("*"));
        assert_eq!(root.strip("/api").as_deref(), Some("/api"));
    }
}
