//! What a forge's delivery says: from its JSON to events. Pure; the signature was checked before.
//!
//! Addresses in a delivery are shown and never used: where a repository is, the configuration says.

mod bitbucket;
mod github;
mod gitlab;
mod value;

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::event::EventKind;
use super::forge::Forge;

pub use value::Unreadable;

/// A delivery that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The repository's path at the forge, where the delivery names one.
    pub project: Option<String>,
    /// In their order.
    pub kinds: Vec<EventKind>,
}

/// Reads the delivery of a forge. `event` is what the forge calls it in a header; one that is not known is no fault, it
/// is ignored.
///
/// # Errors
/// Names the key and what is wrong with it; nothing of the delivery counts then.
pub fn read(forge: Forge, event: &str, body: &Value) -> Result<Told, Unreadable> {
    if !body.is_object() {
        return Err(Unreadable::new("", "must be an object of JSON"));
    }
    let project = value::project(forge, body)?;
    let kinds = match forge {
        Forge::Github | Forge::Gitea | Forge::Forgejo => github::read(forge, event, body)?,
        Forge::Gitlab => gitlab::read(event, body)?,
        Forge::Bitbucket => bitbucket::read(event, body)?,
    };
    Ok(Told { project, kinds })
}
