//! Which service visitors see at the branch's own name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::RewriteError;
use super::labels::label;
use super::services_of;
use super::spoken::Spoken;
use crate::domain::observed::ImageFacts;

/// Names that make a service the primary, in this order; digits at the end are ignored.
const PRIMARY_NAMES: [&str; 4] = ["web", "app", "frontend", "www"];

/// The service that is the primary by its name alone.
pub(super) fn primary_by_name<'a>(names: &[&'a str]) -> Option<&'a str> {
    PRIMARY_NAMES.into_iter().find_map(|wanted| {
        names.iter().copied().filter(|name| base_name(name) == wanted).min_by_key(|name| (name.len(), *name))
    })
}

pub(super) fn primary(
    spoken: &Spoken,
    images: &BTreeMap<String, ImageFacts>,
) -> Result<String, RewriteError> {
    let document = &spoken.document;
    let labelled: Vec<&String> = services_of(document)
        .filter(|(_, service)| label(service, "drey.primary").is_some_and(|value| value == "true"))
        .map(|(name, _)| name)
        .collect();
    match labelled.as_slice() {
        [one] => return Ok((*one).clone()),
        [] => {}
        [_, second, ..] => return Err(RewriteError::SeveralPrimaries((*second).clone())),
    }
    let names = spoken.candidates();
    if let Some(named) = primary_by_name(&names).or_else(|| routed_before(spoken, &names)) {
        return Ok(named.to_owned());
    }
    let service = |name: &str| document.get("services").and_then(|services| services.get(name));
    let has = |key: &str| -> Vec<&str> {
        let filled = |name: &&str| {
            let list = service(name).and_then(|service| service.get(key)).and_then(Value::as_array);
            list.is_some_and(|list| !list.is_empty())
        };
        names.iter().copied().filter(filled).collect()
    };
    let exposed = || -> Vec<&str> {
        let opens = |name: &&str| images.get(*name).is_some_and(|facts| !facts.exposed_ports.is_empty());
        names.iter().copied().filter(opens).collect()
    };
    for candidates in [has("ports"), has("expose"), exposed()] {
        match candidates.as_slice() {
            [] => {}
            [one] => return Ok((*one).to_owned()),
            [_, _, ..] => return Err(no_primary("several could be it", &candidates)),
        }
    }
    Err(no_primary("none has `ports` or `expose`", &names))
}

/// Of those that were routed before: the only one, or the one below whose name all others are.
fn routed_before<'a>(spoken: &Spoken, candidates: &[&'a str]) -> Option<&'a str> {
    let own = |name: &&'a str| Some((*name, spoken.hosts.get(*name)?.first()?.host.as_str()));
    let named: Vec<(&'a str, &str)> = candidates.iter().filter_map(own).collect();
    let is_above = |one: &&(&str, &str)| {
        let below = format!(".{}", one.1);
        named.iter().all(|other| other.0 == one.0 || other.1.ends_with(&below))
    };
    named.iter().find(is_above).map(|(name, _)| *name)
}

fn no_primary(reason: &str, candidates: &[&str]) -> RewriteError {
    RewriteError::NoPrimary { reason: reason.to_owned(), candidates: candidates.join(", ") }
}

/// `web.1`, `web-1`, `web1` → `web`.
fn base_name(name: &str) -> &str {
    let without_digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if without_digits.len() == name.len() {
        return name;
    }
    without_digits.strip_suffix(['.', '_', '-']).unwrap_or(without_digits)
}
