//! Where people find the dashboard, as pages link to it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::domain::dashboard::{Origin, Place};

/// The dashboard's address in force.
pub(super) struct Signpost(ArcSwapOption<Origin>);

impl Signpost {
    /// None: no page is linked.
    pub(super) fn new(dashboard: Option<Origin>) -> Self {
        Self(ArcSwapOption::new(dashboard.map(Arc::new)))
    }

    /// From now on there.
    pub(super) fn turn(&self, dashboard: Option<Origin>) {
        self.0.store(dashboard.map(Arc::new));
    }

    /// The full address of a page.
    pub(super) fn to(&self, place: &Place) -> Option<String> {
        self.0.load().as_ref().map(|origin| format!("{}{}", origin.as_str(), place.path()))
    }

    /// Whoever reads a link may follow it: it does not lead to the daemon's own machine, which a visitor may not be at.
    pub(super) fn is_for_everybody(&self) -> bool {
        self.0.load().as_ref().is_some_and(|origin| !origin.is_this_machine())
    }
}
