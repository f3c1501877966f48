//! What is wrong with a setting, and the values that several settings share.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::domain::duration::parse_duration;

/// One setting that is no good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault {
    /// For instance `x-drey.merge_grace`.
    pub key: String,
    /// Why, and what to write instead.
    pub reason: String,
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

pub(super) fn fault(key: &str, reason: &str) -> SettingFault {
    SettingFault { key: key.to_owned(), reason: reason.to_owned() }
}

pub(super) fn duration(key: &str, value: &Value) -> Result<(Duration, String), SettingFault> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(fault(key, "must be a length of time; write for instance 90s, 30m, 2h or 14d"));
        }
    };
    let duration = parse_duration(&text).map_err(|reason| fault(key, &reason))?;
    Ok((duration, text))
}
