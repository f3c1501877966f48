//! `VIRTUAL_HOST`, `VIRTUAL_PORT`, `VIRTUAL_PATH`, `VIRTUAL_DEST`, `VIRTUAL_PROTO`: how nginx-proxy was told.

use std::collections::BTreeMap;

use super::hosts::{ForeignHost, is_host};
use super::{Fault, Wish};
use crate::domain::path::PathPrefix;

/// Fills in what no label of Interlock says. Wildcards and regular expressions among the names are passed over.
pub(super) fn complete(wish: &mut Wish, environment: &BTreeMap<String, String>) -> Result<(), Fault> {
    let Some(names) = environment.get("VIRTUAL_HOST") else { return Ok(()) };
    if wish.hosts.is_empty() {
        let names = names.split(',').map(str::trim).filter(|name| is_host(name));
        let host = |name: &str| ForeignHost { host: name.to_ascii_lowercase(), part: None };
        wish.hosts = names.map(host).collect();
    }
    if let Some(port) = value(environment, "VIRTUAL_PORT") {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| fault("VIRTUAL_PORT", port, "must be a port from 1 to 65535"))?;
        wish.labels.entry("drey.port").or_insert_with(|| number.to_string());
    }
    if let Some("https" | "grpcs") = value(environment, "VIRTUAL_PROTO") {
        wish.labels.entry("drey.scheme").or_insert_with(|| "https".to_owned());
    }
    if let Some(path) = value(environment, "VIRTUAL_PATH") {
        let prefix = PathPrefix::parse(path).map_err(|error| fault("VIRTUAL_PATH", path, error.0))?;
        if !prefix.is_root() && !wish.labels.contains_key("drey.path") {
            wish.labels.insert("drey.path", prefix.to_string());
            if value(environment, "VIRTUAL_DEST") == Some("/") {
                wish.labels.insert("drey.strip-path", "true".to_owned());
            }
        }
    }
    Ok(())
}

fn value<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn fault(name: &str, value: &str, reason: &'static str) -> Fault {
    Fault { key: format!("environment.{name}"), value: value.to_owned(), reason }
}
