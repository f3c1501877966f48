//! The state of one judgement: what is known, and what was found so far.

use serde_json::Value;

use super::edit::Edit;
use super::facts::{CheckoutFacts, PathFact};
use super::finding::{Action, Finding, Verdict};
use super::permissions::Permissions;
use super::rule::Rule;
use super::table::Row;

/// More findings than anybody reads; a hostile file shall not fill the log. One more says that there are more.
const FINDING_LIMIT: usize = 500;

/// Where in the document the walk stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// For people: `services.web.ports[0]`.
    pub(super) key: String,
    pointer: String,
}

impl Place {
    /// A place that a finding names and no edit goes to.
    pub(super) fn named(key: &str) -> Self {
        Self { pointer: String::new(), ..Self::default().child(key) }
    }

    pub(super) fn child(&self, name: &str) -> Self {
        let shown: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let key = if self.key.is_empty() { shown } else { format!("{}.{shown}", self.key) };
        let pointer = format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"));
        Self { key, pointer }
    }

    pub(super) fn item(&self, index: usize) -> Self {
        Self { key: format!("{}[{index}]", self.key), pointer: format!("{}/{index}", self.pointer) }
    }
}

pub(super) struct Inspection<'a> {
    pub(super) document: &'a Value,
    pub(super) permissions: &'a Permissions,
    facts: &'a CheckoutFacts,
    findings: Vec<Finding>,
    edits: Vec<Edit>,
    accepted: bool,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(document: &'a Value, facts: &'a CheckoutFacts, permissions: &'a Permissions) -> Self {
        Self { document, permissions, facts, findings: Vec::new(), edits: Vec::new(), accepted: true }
    }

    pub(super) fn into_verdict(self) -> Verdict {
        Verdict::new(self.findings, self.edits)
    }

    /// Refuses with the row's rule and its way out.
    pub(super) fn reject(&mut self, place: &Place, row: &Row, reason: &str) {
        self.reject_as(place, row.rule, &format!("{reason}; {}", row.instead));
    }

    pub(super) fn reject_as(&mut self, place: &Place, rule: Rule, message: &str) {
        self.add(place, rule, Action::Reject, message);
    }

    /// Drops the key and says so.
    pub(super) fn neutralise(&mut self, place: &Place, row: &Row, reason: &str) {
        self.neutralise_with(place, row.rule, &format!("{reason}; {}", row.instead));
    }

    pub(super) fn neutralise_with(&mut self, place: &Place, rule: Rule, message: &str) {
        self.add(place, rule, Action::Neutralise, message);
        self.drop_silently(place);
    }

    /// Drops what Compose itself put there: the author has not written it.
    pub(super) fn drop_silently(&mut self, place: &Place) {
        self.edits.push(Edit::Drop(place.pointer.clone()));
    }

    /// Gives the key a value of drey's and says so.
    pub(super) fn set(&mut self, place: &Place, rule: Rule, message: &str, value: Value) {
        self.add(place, rule, Action::Set, message);
        self.set_silently(place, value);
    }

    pub(super) fn set_silently(&mut self, place: &Place, value: Value) {
        self.edits.push(Edit::Set(place.pointer.clone(), value));
    }

    /// A remark that changes nothing here: the rewriter sets the value.
    pub(super) fn announce(&mut self, place: &Place, rule: Rule, message: &str) {
        self.add(place, rule, Action::Set, message);
    }

    /// What was found at a path; a path that nobody looked at counts as outside.
    pub(super) fn fact(&self, path: &std::path::Path) -> PathFact {
        self.facts.paths.get(path).copied().unwrap_or(PathFact::Outside)
    }

    /// True when the top-level map `kind` has this name.
    pub(super) fn declares(&self, kind: &str, name: &str) -> bool {
        self.document.get(kind).and_then(|map| map.get(name)).is_some()
    }

    fn add(&mut self, place: &Place, rule: Rule, action: Action, message: &str) {
        let first_rejection = action == Action::Reject && self.accepted;
        if action == Action::Reject {
            self.accepted = false;
        }
        // The first refusal always counts, however many remarks came before it.
        if self.findings.len() < FINDING_LIMIT || first_rejection {
            self.findings.push(Finding {
                file: None,
                line: None,
                key: place.key.clone(),
                rule,
                action,
                message: message.to_owned(),
            });
        }
    }
}
