//! `[discovery]` in the orchestrator's words.

use crate::config::{Discovery, Settings};
use crate::domain::outsiders::Allowed;
use crate::orchestrator::DiscoveryRules;

/// Names are those below the proxy's domain where none are given.
pub(super) fn rules(settings: &Settings) -> Option<DiscoveryRules> {
    let Discovery { enabled, domains, poll_interval } = &settings.discovery;
    let domain = settings.proxy.domain.clone();
    let patterns = if domains.is_empty() { vec![format!("*.{domain}")] } else { domains.clone() };
    enabled.then(|| DiscoveryRules { allowed: Allowed { patterns, domain }, poll_every: *poll_interval })
}
