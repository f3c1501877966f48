//! Labels written for Interlock, and variables written for its forerunner and for nginx-proxy, read as drey's own.
//!
//! Nothing here knows who reads: the compose file of a branch, or a container that drey did not start.

mod data;
mod hosts;
mod key;
mod meaning;
mod remark;
mod said;
mod virtual_host;

use std::collections::BTreeMap;

use thiserror::Error;

pub use hosts::ForeignHost;
pub use remark::{Remark, remark};

/// What every label of Interlock begins with.
pub const PREFIX: &str = "interlock.";

/// What somebody wrote for Interlock or nginx-proxy means in drey's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The names it is to be reached by, its own first. Empty: Interlock would not have routed it.
    pub hosts: Vec<ForeignHost>,
    /// `drey.*` labels that say the same. What is there already wins over them.
    pub labels: BTreeMap<&'static str, String>,
    /// Interlock itself, or a proxy that it drove: never reached through a proxy.
    pub is_proxy: bool,
}

/// A value that cannot be meant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key}: {value:?} {reason}")]
pub struct Fault {
    /// `labels.interlock.port`, `environment.INTERLOCK_DATA`.
    pub key: String,
    pub value: String,
    pub reason: &'static str,
}

/// What is said of a service or a container, as far as it counts here.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub labels: &'a BTreeMap<String, String>,
    pub environment: &'a BTreeMap<String, String>,
    /// Its own host name: what `INTERLOCK_DATA` left to `docker run --hostname`.
    pub hostname: Option<&'a str>,
}

/// Reads labels first, `INTERLOCK_DATA` where a label is silent, `VIRTUAL_*` where both are.
///
/// # Errors
/// At the first value that cannot be meant.
pub fn read(source: Source<'_>) -> Result<Wish, Fault> {
    let mut said = data::read(source.environment, source.hostname)?;
    said.replace(said::from_labels(source.labels));
    let mut wish = meaning::of(&said)?;
    virtual_host::complete(&mut wish, source.environment)?;
    Ok(wish)
}

#[cfg(test)]
mod tests;
