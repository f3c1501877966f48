//! The walk over the document: every key is looked up, and what has no row is refused.

use serde_json::{Map, Value};

use super::checks::{self, Found};
use super::inspection::{Inspection, Place};
use super::rule::Rule;
use super::table::{Class, DOCUMENT, Row, Section, Shape};
use crate::domain::settings::StackSettings;

/// Whether what is walked through will be deployed, or is dropped together with a key above it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// Only refusals and unknown keys still count.
    Dropped,
}

pub(super) fn document(inspection: &mut Inspection<'_>) {
    let document = inspection.document;
    let place = Place::default();
    match document.as_object() {
        Some(object) if checks::counts_are_bearable(inspection, object) => {
            section(inspection, &place, &DOCUMENT, object, Fate::Kept);
            settings(inspection);
        }
        Some(_) => {}
        None => inspection.reject_as(&place, Rule::Yaml, "the rendered document is not an object"),
    }
}

fn section(
    inspection: &mut Inspection<'_>,
    place: &Place,
    section: &'static Section,
    object: &Map<String, Value>,
    fate: Fate,
) {
    if let (Some(whole), Fate::Kept) = (&section.whole, fate)
        && let Class::Check(check) = whole.class
    {
        checks::whole(inspection, check, place, whole, object);
    }
    for (key, value) in object.iter().filter(|(key, _)| !key.starts_with("x-")) {
        let place = place.child(key);
        match section.find(key) {
            Some(row) => one(inspection, &place, row, Found { value, siblings: object }, fate),
            None => inspection.reject_as(&place, Rule::Yaml, UNKNOWN),
        }
    }
}

/// `x-drey`, which is drey's own and no key of Compose.
fn settings(inspection: &mut Inspection<'_>) {
    for fault in StackSettings::read(inspection.document).err().into_iter().flatten() {
        inspection.reject_as(&Place::named(&fault.key), Rule::Setting, &fault.reason);
    }
}

const UNKNOWN: &str = "this key is not known to drey, and what it does not know it refuses; remove it";

fn one(inspection: &mut Inspection<'_>, place: &Place, row: &'static Row, found: Found<'_>, fate: Fate) {
    let value = found.value;
    if is_nothing(value) {
        return;
    }
    let mut below = fate;
    match row.class {
        Class::Reject => return inspection.reject(place, row, row.why),
        Class::Allow => {}
        Class::Neutralise => {
            if fate == Fate::Kept {
                neutralise(inspection, place, row, value);
            }
            below = Fate::Dropped;
        }
        Class::Check(check) => {
            if fate == Fate::Kept {
                checks::value(inspection, check, place, row, found);
            }
        }
    }
    shape(inspection, place, row, value, below);
}

/// Keys that Compose renders empty (`ipam: {}`, `resources: {}`) were not written by anybody.
fn neutralise(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value) {
    if is_hollow(value) {
        inspection.drop_silently(place);
    } else {
        inspection.neutralise(place, row, row.why);
    }
}

fn shape(inspection: &mut Inspection<'_>, place: &Place, row: &Row, value: &Value, fate: Fate) {
    match (row.shape, value) {
        (Shape::Section(inner), Value::Object(object)) => section(inspection, place, inner, object, fate),
        (Shape::Map(inner), Value::Object(object)) => {
            for (name, item) in object {
                if !item.is_null() {
                    each(inspection, &place.child(name), inner, item, fate);
                }
            }
        }
        (Shape::List(inner), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                each(inspection, &place.item(index), inner, item, fate);
            }
        }
        (Shape::Free, Value::Object(object)) if object.values().all(is_plain) => {}
        (Shape::Free | Shape::Plain, Value::Array(items)) if items.iter().all(is_scalar) => {}
        (Shape::Free | Shape::Plain, scalar) if is_scalar(scalar) => {}
        (Shape::List(inner), scalar) if is_scalar(scalar) => each(inspection, place, inner, scalar, fate),
        (Shape::Plain | Shape::Free | Shape::Section(_) | Shape::Map(_) | Shape::List(_), _) => {
            inspection.reject_as(
                place,
                Rule::Yaml,
                "this key has a form that drey does not know; see the Compose reference",
            );
        }
    }
}

fn each(inspection: &mut Inspection<'_>, place: &Place, inner: &'static Section, item: &Value, fate: Fate) {
    match item {
        Value::Object(object) => section(inspection, place, inner, object, fate),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) if inner.bare => {}
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            inspection.reject_as(place, Rule::Yaml, "an object is wanted here");
        }
    }
}

/// What has no effect: absent, false, empty.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) | Value::Bool(true) | Value::Number(_) => false,
    }
}

fn is_hollow(value: &Value) -> bool {
    is_nothing(value) || value.as_object().is_some_and(|object| object.values().all(is_hollow))
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// A scalar, or a list of them (an extra host with two addresses).
fn is_plain(value: &Value) -> bool {
    is_scalar(value) || value.as_array().is_some_and(|items| items.iter().all(is_scalar))
}
