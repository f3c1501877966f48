//! What policy has to say about a compose file.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::edit::Edit;
use super::rule::Rule;
use super::sources::Sources;

/// What happens with the key of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The whole file is refused.
    Reject,
    /// The key is dropped; the rest is deployed.
    Neutralise,
    /// The key gets a value of drey's.
    Set,
}

/// One remark: where, which rule, what follows, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Relative to the checkout; `None` where only the rendered document tells.
    pub file: Option<String>,
    /// From 1, where one file is named and the key, or what it stands in, was found there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// For instance `services.web.ports[0].published`.
    pub key: String,
    pub rule: Rule,
    pub action: Action,
    /// Why, and what to write instead.
    pub message: String,
}

impl fmt::Display for Finding {
    /// `compose.yaml:7: services.web.privileged: refused (PRIV): <why and what to write instead>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            match self.line {
                Some(line) => write!(f, "{file}:{line}: ")?,
                None => write!(f, "{file}: ")?,
            }
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        let action = match self.action {
            Action::Reject => "refused",
            Action::Neutralise => "dropped",
            Action::Set => "set",
        };
        write!(f, "{action} ({}): {}", self.rule.as_str(), self.message)
    }
}

/// The outcome for a whole document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    edits: Vec<Edit>,
}

impl Verdict {
    pub(super) fn new(findings: Vec<Finding>, edits: Vec<Edit>) -> Self {
        Self { findings, edits }
    }

    /// True when nothing is refused.
    pub fn is_accepted(&self) -> bool {
        !self.findings.iter().any(|finding| finding.action == Action::Reject)
    }

    /// The refusals, in order of the document.
    pub fn rejections(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.action == Action::Reject)
    }

    /// Puts the remarks of the raw scan in front of those of the judge, and the names of files to keys.
    #[must_use]
    pub fn with_scan(mut self, remarks: &[Finding], sources: &Sources) -> Self {
        for finding in self.findings.iter_mut().filter(|finding| finding.file.is_none()) {
            finding.file = sources.of(&finding.key);
            finding.line = finding.file.as_ref().and_then(|file| sources.line(file, &finding.key));
        }
        self.findings.splice(0..0, remarks.iter().cloned());
        self
    }

    /// A verdict of the raw scan alone: what it refused never got to the judge.
    pub fn from_scan(findings: Vec<Finding>) -> Self {
        Self { findings, edits: Vec::new() }
    }

    /// `{"verdict":"accept|reject","findings":[…]}`.
    pub fn to_json(&self) -> Value {
        let verdict = if self.is_accepted() { "accept" } else { "reject" };
        json!({ "verdict": verdict, "findings": self.findings })
    }

    pub(super) fn edits(&self) -> &[Edit] {
        &self.edits
    }
}
