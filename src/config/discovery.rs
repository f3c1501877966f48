//! `[discovery]`: containers that drey did not start.

use std::time::Duration;

use super::reader::Section;
use crate::domain::outsiders::Allowed;

/// Events tell of most things at once; this is for those that are lost.
const DEFAULT_POLL: Duration = Duration::from_secs(30);
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// `[discovery]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    pub enabled: bool,
    /// Names that such containers may take; empty: those below the proxy's domain.
    pub domains: Vec<String>,
    pub poll_interval: Duration,
}

impl Discovery {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let enabled = section.flag("enabled").unwrap_or(false);
        let domains = section.texts("domains").unwrap_or_default();
        if domains.iter().any(|domain| !Allowed::is_pattern(domain)) {
            section
                .fault("domains", "must be names such as \"shop.example\" or \"*.apps.example\", lower case");
        }
        let poll_interval = section.duration("poll_interval").unwrap_or(DEFAULT_POLL);
        if poll_interval < SHORTEST_POLL {
            section.fault("poll_interval", "must be 1s or longer");
        }
        section.finish();
        Self { enabled, domains, poll_interval }
    }
}
