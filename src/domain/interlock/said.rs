//! What was said under which key, in the order of the numbers.

use std::collections::BTreeMap;

use super::Fault;
use super::key::Key;

/// One value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// `labels.interlock.port`.
    pub(super) place: String,
    pub(super) value: String,
}

impl Word {
    pub(super) fn fault(&self, reason: &'static str) -> Fault {
        Fault { key: self.place.clone(), value: self.value.clone(), reason }
    }

    /// Interlock took any value for true; `false` is false here, and a label without a value still is true.
    pub(super) fn flag(&self) -> Result<bool, Fault> {
        match self.value.trim().to_ascii_lowercase().as_str() {
            "" | "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(self.fault("must be true or false; Interlock took any value for true")),
        }
    }
}

/// Words by key and number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said(BTreeMap<(Key, u64), Word>);

impl Said {
    pub(super) fn put(&mut self, key: Key, number: u64, place: &str, value: String) {
        self.0.insert((key, number), Word { place: place.to_owned(), value });
    }

    /// A key that `newer` has is taken from there as a whole.
    pub(super) fn replace(&mut self, newer: Self) {
        self.0.retain(|(key, _), _| newer.all(*key).next().is_none());
        self.0.extend(newer.0);
    }

    pub(super) fn one(&self, key: Key) -> Option<&Word> {
        self.all(key).next()
    }

    pub(super) fn all(&self, key: Key) -> impl Iterator<Item = &Word> {
        self.0.range((key, 0)..=(key, u64::MAX)).map(|(_, word)| word)
    }

    /// False where nothing is said.
    pub(super) fn flag(&self, key: Key) -> Result<bool, Fault> {
        self.one(key).map_or(Ok(false), Word::flag)
    }
}

pub(super) fn from_labels(labels: &BTreeMap<String, String>) -> Said {
    let mut said = Said::default();
    for (name, value) in labels {
        if let Some((key, number)) = Key::parse(name) {
            said.put(key, number, &format!("labels.{name}"), value.clone());
        }
    }
    said
}
