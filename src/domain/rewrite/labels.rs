//! Reading the labels of a service, and refusing one.

use serde_json::Value;

use super::error::RewriteError;

pub(super) fn label<'a>(service: &'a Value, name: &str) -> Option<&'a str> {
    service.get("labels").and_then(|labels| labels.get(name)).and_then(Value::as_str)
}

pub(super) fn bad_label(service: &str, label: &str, value: &str, reason: &'static str) -> RewriteError {
    RewriteError::Label {
        service: service.to_owned(),
        label: label.to_owned(),
        value: value.to_owned(),
        reason,
    }
}

/// A label that is `true` or `false`.
pub(super) fn flag(name: &str, service: &Value, key: &str) -> Result<Option<bool>, RewriteError> {
    match label(service, key) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(bad_label(name, key, other, "must be true or false")),
    }
}
