//! What a build takes: contexts, Dockerfile, caches.

use serde_json::Value;

use super::super::facts::{PathFact, dockerfile_path, real_path};
use super::super::inspection::{Inspection, Place};
use super::super::rule::Rule;
use super::super::table::Row;
use super::{Found, image, items, pairs, scalar_text, shown};

/// `build.context`, absolute after rendering. A folder that is not there is left to the builder to report.
pub(super) fn context(inspection: &mut Inspection<'_>, place: &Place, row: &Row, build: &Value) {
    let place = place.child("context");
    let Some(context) = build.get("context").filter(|context| !context.is_null()) else { return };
    let text = scalar_text(context).unwrap_or_default();
    folder(inspection, &place, row, &text);
}

pub(super) fn dockerfile(inspection: &mut Inspection<'_>, place: &Place, row: &Row, found: Found<'_>) {
    let text = scalar_text(found.value).unwrap_or_default();
    if is_remote(&text) || text == "-" {
        return inspection.reject_as(
            place,
            Rule::Remote,
            &format!("{} is not a file; {}", shown(found.value), row.instead),
        );
    }
    let Some(path) = dockerfile_path(&Value::Object(found.siblings.clone())) else {
        return inspection.reject(place, row, "there is no local context that it could be in");
    };
    let reason = match inspection.fact(&path) {
        PathFact::File | PathFact::Missing => return,
        PathFact::Outside => "it leads out of the repository",
        PathFact::Git => "it leads into the git data",
        PathFact::Directory | PathFact::Root | PathFact::Special => "it is not a regular file",
    };
    inspection.reject(place, row, &format!("{}: {reason}", shown(found.value)));
}

pub(super) fn additional_contexts(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (name, source) in pairs(value) {
        let place = place.child(&name);
        let source = source.unwrap_or_default();
        if let Some(service) = source.strip_prefix("service:") {
            if !inspection.declares("services", service) {
                inspection.reject(&place, row, "there is no such service in this file");
            }
        } else if let Some(reference) = source.strip_prefix("docker-image://") {
            if let Some(reason) = image::refusal(reference, inspection.permissions) {
                inspection.reject_as(
                    &place,
                    Rule::Image,
                    &format!("the image `{reference}` {reason}; {}", row.instead),
                );
            }
        } else {
            folder(inspection, &place, row, &source);
        }
    }
}

pub(super) fn cache_from(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    for (index, item) in items(value).into_iter().enumerate() {
        let place = place.item(index);
        let text = scalar_text(item).unwrap_or_default();
        let fields: Vec<(&str, &str)> = text.split(',').filter_map(|field| field.split_once('=')).collect();
        let of = |key: &str| {
            fields
                .iter()
                .find(|(name, _)| name.trim().eq_ignore_ascii_case(key))
                .map(|(_, value)| value.trim())
        };
        let reference = match of("type") {
            None if !text.contains(['=', ',']) => text.as_str(),
            Some("registry") => of("ref").unwrap_or_default(),
            _ => {
                inspection.reject(&place, row, &format!("the cache {} is not in a registry", shown(item)));
                continue;
            }
        };
        if let Some(reason) = image::refusal(reference, inspection.permissions) {
            inspection.reject(&place, row, &format!("the image `{reference}` {reason}"));
        }
    }
}

fn folder(inspection: &mut Inspection<'_>, place: &Place, row: &Row, text: &str) {
    let value = shown(&Value::String(text.to_owned()));
    if !text.starts_with('/') {
        let message = format!("{value} is not a folder of the repository; {}", row.instead);
        return inspection.reject_as(place, Rule::Remote, &message);
    }
    let reason = match inspection.fact(&real_path(text)) {
        PathFact::Directory | PathFact::Root | PathFact::Missing => return,
        PathFact::Outside => "leads out of the repository",
        PathFact::Git => "leads into the git data",
        PathFact::File | PathFact::Special => "is not a folder",
    };
    inspection.reject_as(place, Rule::FileReference, &format!("{value} {reason}; {}", row.instead));
}

fn is_remote(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/")
}
