//! Which branches get an environment, by globs: `*` stays within a part of the name, `**` crosses slashes.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::names::BranchName;

/// Globs over branch names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct BranchGlobs {
    patterns: Vec<String>,
    set: GlobSet,
}

impl BranchGlobs {
    /// # Errors
    /// Names the pattern that is no glob.
    pub fn parse(patterns: Vec<String>) -> Result<Self, String> {
        let mut set = GlobSetBuilder::new();
        for pattern in &patterns {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            set.add(glob.map_err(|error| format!("{pattern:?} is no glob: {error}"))?);
        }
        let set = set.build().map_err(|error| error.to_string())?;
        Ok(Self { patterns, set })
    }

    pub fn matches(&self, branch: &BranchName) -> bool {
        self.set.is_match(branch.as_str())
    }

    /// The branch's own name is one of the patterns.
    pub fn names(&self, branch: &BranchName) -> bool {
        self.patterns.iter().any(|pattern| pattern == branch.as_str())
    }

    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }
}

impl PartialEq for BranchGlobs {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for BranchGlobs {}

impl TryFrom<Vec<String>> for BranchGlobs {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Self, String> {
        Self::parse(patterns)
    }
}

impl From<BranchGlobs> for Vec<String> {
    fn from(globs: BranchGlobs) -> Self {
        globs.patterns
    }
}
