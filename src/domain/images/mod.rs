//! Which image a build gives: its identity by content.

pub mod dockerfile;
pub mod dockerignore;
mod identity;

use std::collections::BTreeMap;

pub use dockerfile::{all_base_images, base_images, remote_sources, syntax};
pub use identity::{BuildRecipe, Interim, identity, tag};

/// Where a build reads from, inside the checkout; `/`-separated, no leading slash, empty for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildSources {
    pub context: String,
    /// Relative to the checkout; `None` when the Dockerfile is inline.
    pub dockerfile: Option<String>,
    /// Name → folder, for the additional contexts that are local.
    pub additional: BTreeMap<String, String>,
}

/// What a build reads, by git id; nothing of a file's content but the Dockerfile and the ignore file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInputs {
    /// Context name (empty for the main one) → its files, sorted by path.
    pub contexts: BTreeMap<String, Vec<ContextEntry>>,
    pub dockerfile: Option<Vec<u8>>,
    /// `<dockerfile>.dockerignore`, else `.dockerignore` of the context.
    pub dockerignore: Option<Vec<u8>>,
}

/// One file or symbolic link of a build context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextEntry {
    /// Relative to the context.
    pub path: String,
    /// Git file mode, for instance `0o100644`.
    pub mode: i32,
    /// Git id of the blob.
    pub id: String,
}
