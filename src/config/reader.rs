//! Reads a tree of values key by key, and remembers every fault instead of stopping at the first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Dict, Value};

use super::error::Fault;
use super::secret::Secret;
use super::size::parse_size;
use crate::domain::duration::parse_duration;

/// Collects faults.
pub(super) struct Faults {
    file: Option<String>,
    /// Key → environment variable that it came from.
    origins: BTreeMap<String, String>,
    found: RefCell<Vec<Fault>>,
}

impl Faults {
    pub(super) fn new(origin: Option<&str>, origins: BTreeMap<String, String>) -> Self {
        Self { file: origin.map(str::to_owned), origins, found: RefCell::default() }
    }

    pub(super) fn add(&self, key: &str, message: impl Into<String>) {
        let origin = self.origins.get(key).or(self.file.as_ref()).cloned();
        self.found.borrow_mut().push(Fault { key: key.to_owned(), origin, message: message.into() });
    }

    /// Whether the key has a fault already.
    pub(super) fn has(&self, key: &str) -> bool {
        self.found.borrow().iter().any(|fault| fault.key == key)
    }

    pub(super) fn into_found(self) -> Vec<Fault> {
        self.found.into_inner()
    }
}

/// One table of the configuration. Keys that nobody asked for are faults when it goes.
pub(super) struct Section<'a> {
    path: String,
    values: Dict,
    known: BTreeSet<&'static str>,
    faults: &'a Faults,
    environment: &'a [(String, String)],
}

impl<'a> Section<'a> {
    pub(super) fn new(
        path: &str,
        values: Dict,
        faults: &'a Faults,
        environment: &'a [(String, String)],
    ) -> Self {
        Self { path: path.to_owned(), values, known: BTreeSet::new(), faults, environment }
    }

    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn fault(&self, key: &str, message: impl Into<String>) {
        self.faults.add(&self.key(key), message);
    }

    /// Whether the key, or the table itself, has a fault already: one is enough.
    pub(super) fn has_fault(&self, key: &str) -> bool {
        self.faults.has(&self.key(key)) || (!self.path.is_empty() && self.faults.has(&self.path))
    }

    /// Notes that the key is missing, unless what is wrong with it was said.
    pub(super) fn needed(&self, key: &str, given: bool, message: &str) {
        if !given && !self.has_fault(key) {
            self.fault(key, message);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        self.values.remove(key)
    }

    /// Takes a key and turns it into a value, or notes why that cannot be done.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        turn: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(key)?;
        match turn(&value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(key, message);
                None
            }
        }
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.read(key, text)
    }

    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.read(key, |value| match value.as_array() {
            Some(items) => items.iter().map(text).collect(),
            None => Err("must be a list of texts, for instance [\"a\", \"b\"]".to_owned()),
        })
    }

    pub(super) fn map(&mut self, key: &'static str) -> Option<BTreeMap<String, String>> {
        self.read(key, |value| match value.as_dict() {
            Some(dict) => dict.iter().map(|(key, value)| Ok((key.clone(), scalar(value)?))).collect(),
            None => Err("must be a table, for instance { NAME = \"value\" }".to_owned()),
        })
    }

    pub(super) fn number(&mut self, key: &'static str) -> Option<u64> {
        self.read(key, |value| {
            let number = whole(value).and_then(|number| u64::try_from(number).ok());
            number.ok_or_else(|| "must be a whole number, not below zero".to_owned())
        })
    }

    /// Ports, each 1 to 65535.
    pub(super) fn ports(&mut self, key: &'static str) -> Option<Vec<u16>> {
        let port = |value: &Value| {
            let port = whole(value).and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
            port.ok_or_else(|| "must be a list of ports, each 1 to 65535".to_owned())
        };
        self.read(key, |value| match value.as_array() {
            Some(items) => items.iter().map(port).collect(),
            None => Err("must be a list of ports, for instance [53]".to_owned()),
        })
    }

    pub(super) fn decimal(&mut self, key: &'static str) -> Option<f64> {
        self.read(key, |value| {
            let as_whole = || whole(value).and_then(|number| u32::try_from(number).ok()).map(f64::from);
            let number = value.to_num().and_then(|number| number.to_f64()).or_else(as_whole);
            number.filter(|number| *number > 0.0).ok_or_else(|| "must be a number above zero".to_owned())
        })
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.read(key, |value| parse_duration(&text(value)?))
    }

    pub(super) fn size(&mut self, key: &'static str) -> Option<u64> {
        self.read(key, |value| match whole(value) {
            Some(bytes) => u64::try_from(bytes).map_err(|_huge| "must be a size such as \"50GB\"".to_owned()),
            None => parse_size(&text(value)?),
        })
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, |value| value.to_bool().ok_or_else(|| "must be true or false".to_owned()))
    }

    /// A key that has a word for "none": `Some(None)` when it is given.
    pub(super) fn unless<T>(
        &mut self,
        key: &'static str,
        none: &str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.values.get(key).and_then(Value::as_str) == Some(none) {
            return self.take(key).map(|_| None);
        }
        read(self, key).map(Some)
    }

    pub(super) fn address(&mut self, key: &'static str) -> Option<SocketAddr> {
        self.read(key, |value| {
            let text = text(value)?;
            text.parse().map_err(|_bad| {
                format!("{text:?} must be an address with its port, for instance 127.0.0.1:8420")
            })
        })
    }

    /// `key`, `key_file` or `key_env`: one of them at most.
    pub(super) fn secret(&mut self, keys: [&'static str; 3]) -> Option<Secret> {
        let given: Vec<(usize, String)> =
            keys.iter().enumerate().filter_map(|(place, key)| Some((place, self.text(key)?))).collect();
        match given.as_slice() {
            [] => None,
            [(0, value)] => self.not_empty(keys[0], value),
            [(1, file)] => match std::fs::read_to_string(file) {
                Ok(value) => self.not_empty(keys[1], value.trim_end_matches(['\n', '\r'])),
                Err(error) => {
                    self.fault(keys[1], format!("{file}: {error}"));
                    None
                }
            },
            [(_, name)] => match self.environment.iter().find(|(given, _)| given == name) {
                Some((_, value)) => self.not_empty(keys[2], value),
                None => {
                    self.fault(keys[2], format!("the environment has no variable {name}"));
                    None
                }
            },
            [_, _, ..] => {
                self.fault(keys[0], format!("give one of {} only", keys.join(", ")));
                None
            }
        }
    }

    fn not_empty(&self, key: &str, value: &str) -> Option<Secret> {
        if value.is_empty() {
            self.fault(key, "must not be empty");
            return None;
        }
        Some(Secret::new(value.to_owned()))
    }

    /// A variable of the environment that is not drey's own.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.environment.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    /// Whether the key is there at all.
    pub(super) fn gives(&mut self, key: &'static str) -> bool {
        self.known.insert(key);
        self.values.contains_key(key)
    }

    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let values = match self.take(key) {
            Some(Value::Dict(_, dict)) => dict,
            None => Dict::new(),
            Some(_) => {
                self.fault(key, format!("must be a table: [{}]", self.key(key)));
                Dict::new()
            }
        };
        Section::new(&self.key(key), values, self.faults, self.environment)
    }

    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let items = match self.take(key) {
            Some(Value::Array(_, items)) => items,
            None => return Vec::new(),
            Some(_) => {
                self.fault(key, format!("must be a list of tables: [[{key}]]"));
                return Vec::new();
            }
        };
        let section = |(number, value): (usize, Value)| {
            let path = format!("{}[{number}]", self.key(key));
            let values = value.into_dict().unwrap_or_else(|| {
                self.faults.add(&path, format!("must be a table: [[{key}]]"));
                Dict::new()
            });
            Section::new(&path, values, self.faults, self.environment)
        };
        items.into_iter().enumerate().map(section).collect()
    }

    /// Keys that nobody asked for are faults.
    pub(super) fn finish(&self) {
        for unknown in self.values.keys() {
            let known: Vec<&str> = self.known.iter().copied().collect();
            self.fault(unknown, format!("is not known here; known are: {}", known.join(", ")));
        }
    }
}

/// A number of things of which there must be one.
pub(super) fn at_least_one(value: &Value) -> Result<u64, String> {
    let number = whole(value).and_then(|number| u64::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or_else(|| "must be a whole number, at least 1".to_owned())
}

/// A whole number, however it was written: the file gives signed ones, the environment unsigned.
fn whole(value: &Value) -> Option<i128> {
    value.to_i128().or_else(|| value.to_u128().and_then(|number| i128::try_from(number).ok()))
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "must be a text in quotes".to_owned())
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(_, text) => Ok(text.clone()),
        Value::Bool(_, value) => Ok(value.to_string()),
        Value::Num(_, _) => value
            .to_i128()
            .map(|number| number.to_string())
            .ok_or_else(|| "values must be texts, whole numbers or booleans".to_owned()),
        Value::Char(_, value) => Ok(value.to_string()),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => {
            Err("values must be texts, whole numbers or booleans".to_owned())
        }
    }
}
