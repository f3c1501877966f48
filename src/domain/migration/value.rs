//! Values of a configuration of Interlock, and what is made of them.

use serde_json::{Map, Value};

/// What becomes of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Mapped(Vec<Setting>),
    Ignored(&'static str),
    Replaced(&'static str),
}

/// A line of drey's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// As TOML.
    pub(super) value: String,
}

pub(super) fn one(section: &'static str, key: &'static str, value: String) -> Verdict {
    Verdict::Mapped(vec![setting(section, key, value)])
}

pub(super) const fn setting(section: &'static str, key: &'static str, value: String) -> Setting {
    Setting { section, key, value }
}

/// The option of this name, in whatever case it is written.
pub(super) fn option<'a>(table: &'a Map<String, Value>, lower: &str) -> Option<&'a Value> {
    table.iter().find(|(name, _)| name.eq_ignore_ascii_case(lower)).map(|(_, value)| value)
}

/// A text that says something.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| text(value)?.parse().ok())
}

pub(super) fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| text(value).is_some_and(|text| text.eq_ignore_ascii_case("true")))
}

/// Text in TOML: what JSON escapes, TOML reads.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A time in whole seconds, which drey's are; a second at least, an hour at most.
pub(super) fn seconds(section: &'static str, key: &'static str, value: &Value, per_second: u64) -> Verdict {
    match number(value) {
        None => Verdict::Ignored("is no number"),
        Some(0) => Verdict::Ignored("0 is no limit: drey's own stays"),
        Some(number) => {
            let seconds = number.div_ceil(per_second).clamp(1, 3600);
            one(section, key, quoted(&format!("{seconds}s")))
        }
    }
}

/// A port on all addresses.
pub(super) fn port(key: &'static str, value: &Value) -> Verdict {
    match number(value).and_then(|number| u16::try_from(number).ok()) {
        None => Verdict::Ignored("is no port"),
        Some(0) => Verdict::Ignored("0 switches it off"),
        Some(port) => one("proxy", key, quoted(&format!("0.0.0.0:{port}"))),
    }
}
