//! A configuration of Interlock as one of drey's: each option is mapped, ignored with its reason, or replaced because it is
//! unsafe.

mod beacon;
mod common;
mod draft;
mod global;
mod haproxy;
mod nginx;
mod value;

use serde::Serialize;
use serde_json::{Map, Value};

use draft::Draft;
use value::Verdict;

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// drey's configuration.
    pub toml: String,
    /// One for each option, by name; unsafe defaults that were in force come after the options of their extension.
    pub options: Vec<Judged>,
}

/// What became of one option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// For instance `Extensions[0].Port`.
    pub option: String,
    pub outcome: Outcome,
    /// drey's keys, where it is mapped.
    pub to: Vec<String>,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It says the same in drey's configuration.
    Mapped,
    /// drey does without it.
    Ignored,
    /// What it said was unsafe: drey does otherwise.
    Replaced,
}

impl Outcome {
    /// As in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Ignored => "ignored",
            Self::Replaced => "replaced",
        }
    }
}

/// The kinds of extensions that Interlock knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Haproxy,
    Nginx,
    Beacon,
}

/// Judges every option. Names count without their case, as Interlock reads them.
pub fn interlock(configuration: &Map<String, Value>) -> Migration {
    let mut draft = Draft::default();
    for (name, value) in configuration {
        match name.to_ascii_lowercase().as_str() {
            "extensions" => extensions(&mut draft, value),
            lower => draft.take(name, global::judge(lower, value, configuration)),
        }
    }
    draft.finish()
}

fn extensions(draft: &mut Draft, value: &Value) {
    let Some(extensions) = value.as_array() else {
        return draft.take("Extensions", Verdict::Ignored("is no list of tables"));
    };
    let mut proxy = None;
    for (number, extension) in extensions.iter().enumerate() {
        let Some(extension) = extension.as_object() else { continue };
        let kind = kind(extension);
        let is_second = kind.is_some_and(|kind| kind != Kind::Beacon) && proxy.is_some();
        if kind.is_some_and(|kind| kind != Kind::Beacon) && !is_second {
            proxy = kind;
        }
        for (name, value) in extension {
            let verdict = match (kind, is_second) {
                (_, true) => Verdict::Ignored("drey drives one proxy; the first extension is it"),
                (None, _) => {
                    Verdict::Ignored("belongs to an extension that is neither haproxy, nginx nor beacon")
                }
                (Some(kind), _) => of_extension(kind, &name.to_ascii_lowercase(), value),
            };
            draft.take(&format!("Extensions[{number}].{name}"), verdict);
        }
        if let Some(kind) = kind.filter(|_| !is_second) {
            unsafe_defaults(draft, number, kind, extension);
        }
    }
}

fn kind(extension: &Map<String, Value>) -> Option<Kind> {
    match value::text(value::option(extension, "name")?)?.to_ascii_lowercase().as_str() {
        "haproxy" => Some(Kind::Haproxy),
        "nginx" => Some(Kind::Nginx),
        "beacon" => Some(Kind::Beacon),
        _other => None,
    }
}

fn of_extension(kind: Kind, name: &str, value: &Value) -> Verdict {
    let of_its_own = match kind {
        Kind::Haproxy => haproxy::judge(name, value),
        Kind::Nginx => nginx::judge(name, value),
        Kind::Beacon => beacon::judge(name),
    };
    let others = || match kind {
        Kind::Haproxy | Kind::Nginx => common::judge(name, value),
        Kind::Beacon => None,
    };
    let elsewhere = || {
        let is_known =
            nginx::judge(name, value).or(haproxy::judge(name, value)).or(common::judge(name, value));
        is_known.or(beacon::judge(name)).map(|_| Verdict::Ignored("is an option of another extension"))
    };
    let unknown = Verdict::Ignored("is no option of Interlock");
    of_its_own.or_else(others).or_else(elsewhere).unwrap_or(unknown)
}

/// What Interlock did because nobody said otherwise.
fn unsafe_defaults(draft: &mut Draft, number: usize, kind: Kind, extension: &Map<String, Value>) {
    let defaults = match kind {
        Kind::Haproxy => haproxy::UNSAFE_DEFAULTS,
        Kind::Nginx => nginx::UNSAFE_DEFAULTS,
        Kind::Beacon => &[],
    };
    for (name, why) in defaults {
        if value::option(extension, &name.to_ascii_lowercase()).is_none() {
            draft.take(&format!("Extensions[{number}].{name} (default)"), Verdict::Replaced(why));
        }
    }
}

#[cfg(test)]
mod tests;
