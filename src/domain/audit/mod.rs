//! The look at what really runs: whatever the policy let through and compose made of it, each container must be as
//! confined as drey promises.
//!
//! It knows neither the compose file nor the policy's table, only what the engine tells, so that a hole in one of them
//! is no hole in all. What the operator grants a repository, or puts on every service with the overlay, is no breach.

mod confinement;
mod limits;
mod mounts;
mod powers;
mod spaces;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use super::names::ProjectName;
use super::policy::{Permissions, Rule};

pub use confinement::{Confinement, DeviceRequestFact, LogFact, MountFact, NameSpaces};

/// What the containers of an environment are held against.
pub struct Expected<'a> {
    pub project: &'a ProjectName,
    /// Labels that each of them must have.
    pub labels: &'a BTreeMap<String, String>,
    /// The stack as it was deployed: which cgroup parent drey wrote.
    pub document: &'a Value,
    /// The overlay fragment: what the operator puts on every service.
    pub overlay: &'a Value,
    /// Folders of the host that binds may come from.
    pub folders: &'a [PathBuf],
    pub permissions: &'a Permissions,
}

/// One border that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub container: String,
    pub service: String,
    pub rule: Rule,
    /// What is wrong, as the end of a sentence about the container.
    pub what: String,
}

impl fmt::Display for Breach {
    /// `web (PRIV): container drey-x-web-1 is privileged`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): container {} {}", self.service, self.rule, self.container, self.what)
    }
}

/// Everything that is wrong, in the order of the containers; empty where all holds.
pub fn breaches(containers: &[Confinement], expected: &Expected<'_>) -> Vec<Breach> {
    let own = containers.iter().flat_map(|it| [it.id.as_str(), it.name.as_str()]).collect();
    containers.iter().flat_map(|container| of_one(container, &own, expected)).collect()
}

fn of_one(container: &Confinement, own: &BTreeSet<&str>, expected: &Expected<'_>) -> Vec<Breach> {
    let mut look = Look { container, own, expected, found: Vec::new() };
    labels(&mut look);
    powers::check(&mut look);
    spaces::check(&mut look);
    mounts::check(&mut look);
    limits::check(&mut look);
    look.found
}

/// Another instance's container would be stopped and removed by nobody.
fn labels(look: &mut Look<'_>) {
    for (name, value) in look.expected.labels {
        if look.container.labels.get(name) != Some(value) {
            look.breach(Rule::Label, format!("has not drey's label {name}"));
        }
    }
}

/// One container while it is looked at.
struct Look<'a> {
    container: &'a Confinement,
    /// Ids and names of all containers of the environment.
    own: &'a BTreeSet<&'a str>,
    expected: &'a Expected<'a>,
    found: Vec<Breach>,
}

impl<'a> Look<'a> {
    fn breach(&mut self, rule: Rule, what: impl Into<String>) {
        let (container, service) = (self.container.name.clone(), self.container.service.clone());
        let what = what.into().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        self.found.push(Breach { container, service, rule, what });
    }

    /// What the operator's overlay says of this service under a key.
    fn overlay(&self, key: &str) -> Option<&'a Value> {
        of_service(self.expected.overlay, &self.container.service, key)
    }

    /// What drey's own document says of this service under a key.
    fn document(&self, key: &str) -> Option<&'a Value> {
        of_service(self.expected.document, &self.container.service, key)
    }

    /// Whether the operator's list under this key has the text, whatever its case.
    fn overlay_lists(&self, key: &str, text: &str) -> bool {
        let listed = self.overlay(key).and_then(Value::as_array).into_iter().flatten();
        listed.filter_map(Value::as_str).any(|item| item.eq_ignore_ascii_case(text))
    }

    /// Another container of this environment, as in `container:ID`.
    fn is_of_own(&self, mode: &str) -> bool {
        mode.strip_prefix("container:").is_some_and(|other| self.own.contains(other))
    }
}

fn of_service<'a>(document: &'a Value, service: &str, key: &str) -> Option<&'a Value> {
    document.get("services")?.get(service)?.get(key)
}
