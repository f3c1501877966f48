//! What the places are called at which a test ends the daemon in a run (`ports::failpoint`).

use crate::domain::environment::Intent;
use crate::domain::plan::Step;
use crate::ports;

use super::run::Run;

impl Run<'_> {
    /// Something outside of drey was just done.
    pub(super) fn failpoint(&self, what: &str) {
        ports::failpoint_in(self.kind(), what);
    }

    /// A step of the plan was just carried out.
    pub(super) fn failpoint_after(&self, step: &Step) {
        ports::failpoint_after(self.kind(), step);
    }

    pub(super) fn kind(&self) -> &'static str {
        match &self.environment.intent {
            Intent::Run { .. } if self.environment.to_fill().is_some() => "restore",
            Intent::Run { .. } if self.environment.running_commit.is_some() => "update",
            Intent::Run { .. } => "deploy",
            Intent::Sleep { .. } => "sleep",
            Intent::Wake => "wake",
            Intent::Repair => "repair",
            Intent::End { archive: true, .. } => "archive",
            Intent::End { archive: false, .. } => "destroy",
        }
    }
}
