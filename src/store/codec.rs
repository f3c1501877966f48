//! Between stored texts and the types of the domain.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{StoreError, StoreResult};
use crate::domain::names::CommitSha;

/// Names the row that is read, for the error that says what is wrong with it.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) table: &'static str,
    pub(super) key: &'a dyn Display,
}

impl Row<'_> {
    /// Passes a value on, or says in which row a wrong one stands.
    pub(super) fn read<T, E: Display>(self, value: Result<T, E>) -> StoreResult<T> {
        value.map_err(|error| StoreError::Corrupt {
            table: self.table,
            row: self.key.to_string(),
            reason: error.to_string(),
        })
    }

    /// Reads what [`word`] wrote.
    pub(super) fn word<T: DeserializeOwned>(self, text: &str) -> StoreResult<T> {
        self.read(serde_json::from_value(Value::String(text.to_owned())))
    }

    /// Reads what `serde_json::to_string` wrote.
    pub(super) fn json<T: DeserializeOwned>(self, text: &str) -> StoreResult<T> {
        self.read(serde_json::from_str(text))
    }

    pub(super) fn commit(self, text: Option<&str>) -> StoreResult<Option<CommitSha>> {
        text.map(|text| self.read(CommitSha::parse(text))).transpose()
    }
}

/// The word of a variant without content, as its serde name.
pub(super) fn word<T: Serialize>(value: &T) -> StoreResult<String> {
    Ok(serde_json::from_value(serde_json::to_value(value)?)?)
}
