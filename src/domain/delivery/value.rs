//! Values of a delivery, by their paths, with an error that names the path.

use serde_json::Value;
use thiserror::Error;

use crate::domain::event::EventKind;
use crate::domain::forge::Forge;
use crate::domain::names::{BranchName, CommitSha};
use crate::domain::pull_request::{Head, TEXT_LIMIT};
use crate::domain::text::clean_line;
use crate::domain::time::Timestamp;

/// Longest address of a page that is kept.
const URL_LIMIT: usize = 1000;
/// Most labels that are kept.
const LABEL_LIMIT: usize = 100;

/// Why a delivery is not what its forge sends.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}{reason}", if key.is_empty() { String::new() } else { format!("{key}: ") })]
pub struct Unreadable {
    key: String,
    reason: String,
}

impl Unreadable {
    pub(super) fn new(key: &str, reason: impl Into<String>) -> Self {
        Self { key: key.to_owned(), reason: reason.into() }
    }
}

/// What lies at `a.b.c`; null is not there.
pub(super) fn at<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(body, |value, key| value.get(key)).filter(|value| !value.is_null())
}

pub(super) fn text<'a>(body: &'a Value, path: &str) -> Option<&'a str> {
    at(body, path)?.as_str()
}

pub(super) fn needed<'a>(body: &'a Value, path: &str) -> Result<&'a str, Unreadable> {
    text(body, path).ok_or_else(|| Unreadable::new(path, "must be a text"))
}

pub(super) fn flag(body: &Value, path: &str) -> bool {
    at(body, path).and_then(Value::as_bool).unwrap_or_default()
}

pub(super) fn number(body: &Value, path: &str) -> Result<u64, Unreadable> {
    let number = at(body, path).and_then(Value::as_u64).filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| Unreadable::new(path, "must be a whole number"))
}

pub(super) fn branch(body: &Value, path: &str) -> Result<BranchName, Unreadable> {
    BranchName::parse(needed(body, path)?).map_err(|error| Unreadable::new(path, error.to_string()))
}

pub(super) fn commit(body: &Value, path: &str) -> Result<CommitSha, Unreadable> {
    CommitSha::parse(needed(body, path)?).map_err(|error| Unreadable::new(path, error.to_string()))
}

/// An object id that may be cut.
pub(super) fn head(body: &Value, path: &str) -> Result<Option<Head>, Unreadable> {
    let text = text(body, path).filter(|text| !text.is_empty());
    text.map(|text| Head::parse(text).map_err(|error| Unreadable::new(path, error.to_string()))).transpose()
}

/// A line for people, without what a terminal would take for a command.
pub(super) fn line(body: &Value, path: &str) -> String {
    clean_line(text(body, path).unwrap_or_default()).chars().take(TEXT_LIMIT).collect()
}

/// The address of a page: shown, never opened.
pub(super) fn page(body: &Value, path: &str) -> Option<String> {
    let text = text(body, path)?;
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    let is_plain = text.len() <= URL_LIMIT && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    (is_web && is_plain).then(|| text.to_owned())
}

pub(super) fn moment(body: &Value, path: &str) -> Option<Timestamp> {
    let text = text(body, path)?;
    // Older GitLab writes `2017-12-10 17:01:11 UTC`.
    Timestamp::parse(text).or_else(|| Timestamp::parse(&text.replacen(' ', "T", 1).replace(" UTC", "Z")))
}

/// The names in a list of objects.
pub(super) fn labels(body: &Value, path: &str, key: &str) -> Vec<String> {
    let items = at(body, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().take(LABEL_LIMIT).map(|item| line(item, key)).filter(|name| !name.is_empty()).collect()
}

/// `before`, `after` and `ref` of a push.
pub(super) fn push(body: &Value) -> Result<EventKind, Unreadable> {
    let (before, after) = (commit(body, "before")?, commit(body, "after")?);
    let reference = needed(body, "ref")?;
    if let Some(tag) = reference.strip_prefix("refs/tags/") {
        let tag = tag.to_owned();
        return Ok(match after.is_zero() {
            true => EventKind::TagDeleted { tag },
            false => EventKind::TagCreated { tag },
        });
    }
    let Some(name) = reference.strip_prefix("refs/heads/") else {
        return match reference.starts_with("refs/") && !reference.contains("..") {
            true => Ok(EventKind::Ignored { reference: reference.to_owned() }),
            false => Err(Unreadable::new("ref", format!("{reference:?} is no full ref"))),
        };
    };
    let branch = BranchName::parse(name).map_err(|error| Unreadable::new("ref", error.to_string()))?;
    Ok(moved(branch, before, after))
}

/// What became of a branch, by git's ids of zeros.
pub(super) fn moved(branch: BranchName, before: CommitSha, after: CommitSha) -> EventKind {
    match (before.is_zero(), after.is_zero()) {
        (true, false) => EventKind::BranchCreated { branch, commit: Some(after) },
        (false, false) => EventKind::BranchPushed { branch, before, commit: after },
        (false, true) => EventKind::BranchDeleted { branch, before: Some(before) },
        (true, true) => EventKind::Ignored { reference: branch.full_ref() },
    }
}

/// The repository's path at the forge.
pub(super) fn project(forge: Forge, body: &Value) -> Result<Option<String>, Unreadable> {
    let path = if forge == Forge::Gitlab { "project.path_with_namespace" } else { "repository.full_name" };
    let Some(text) = text(body, path) else { return Ok(None) };
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.chars().all(|c| c == '.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-~+".contains(c))
    };
    match text.split('/').all(is_part) && text.contains('/') {
        true => Ok(Some(text.to_owned())),
        false => Err(Unreadable::new(path, format!("{:?} is no path of a repository", clean_line(text)))),
    }
}
