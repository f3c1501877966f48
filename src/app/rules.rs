//! The configuration's rules for branches, as the orchestrator asks them.

use crate::config::Repository;
use crate::domain::names::BranchName;
use crate::orchestrator::BranchRules;

/// A configured repository's globs.
pub(super) struct ConfiguredRules(pub(super) Repository);

impl BranchRules for ConfiguredRules {
    fn wants(&self, branch: &BranchName) -> Result<(), &'static str> {
        self.0.wants(branch)
    }

    fn keeps(&self, branch: &BranchName) -> bool {
        self.0.keeps(branch)
    }
}
