//! Rules: which requests a router takes.

use crate::config::TraefikSyntax;

/// Characters that a rule about one host has at most: what is more comes first.
pub(super) const LONGEST_HOST: usize = 300;

/// Exactly this host, of letters, digits, `-` and `.` only: a model has no others.
pub(super) fn host(host: &str) -> String {
    format!("Host(`{host}`)")
}

/// Every host with one part more than the domain.
pub(super) fn below(domain: &str, syntax: TraefikSyntax) -> String {
    match syntax {
        TraefikSyntax::V2 => format!("HostRegexp(`{{branch:[a-z0-9-]+}}.{domain}`)"),
        TraefikSyntax::V3 => format!("HostRegexp(`^[a-z0-9-]+\\.{}$`)", domain.replace('.', "\\.")),
    }
}
