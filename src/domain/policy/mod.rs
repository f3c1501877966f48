//! What a branch may ask for in its compose file.
//!
//! A pure function over a typed table (`table`) with a row for every key that Compose knows: allowed, checked by a
//! value rule (`checks`), dropped or set, or refused. A key without a row is refused, so that a newer Compose
//! cannot open a hole. It judges the canonical document that Compose rendered, never a parse of our own.

mod bytes;
mod checks;
mod dockerfile;
mod edit;
mod facts;
mod finding;
mod inspection;
mod limits;
mod permissions;
mod rule;
mod sources;
mod table;
mod walk;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub(in crate::domain) use checks::isolation::{DEFAULT_CAPABILITIES, TAKEN_CAPABILITIES, is_own_sysctl};
pub use dockerfile::dockerfile;
pub use facts::{CheckoutFacts, PathFact, paths_used};
pub use finding::{Action, Finding, Verdict};
pub use limits::{RequestedLimits, requested_limits};
pub use permissions::{PermissionError, Permissions, PolicyLimits};
pub use rule::Rule;
pub use sources::Sources;

/// Judges the canonical JSON of `docker compose config` (all profiles, paths absolute below the checkout).
/// `facts` must hold an entry for each path of [`paths_used`]; a path that nobody looked at is refused.
pub fn judge(document: &Value, facts: &CheckoutFacts, permissions: &Permissions) -> Verdict {
    let mut inspection = inspection::Inspection::new(document, facts, permissions);
    walk::document(&mut inspection);
    inspection.into_verdict()
}

/// The document without what policy drops, and with what it sets: the only form that may be deployed.
/// Limits of memory, CPU and processes are gone from it; see [`requested_limits`] for what was asked.
pub fn neutralised(document: &Value, verdict: &Verdict) -> Value {
    edit::applied(document, verdict.edits())
}
