//! Rules: which requests a router takes.

use serde::Serialize;

/// Which of Traefik's two languages of rules is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Syntax {
    V2,
    #[default]
    V3,
}

impl Syntax {
    /// As the configuration writes it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "v2" => Some(Self::V2),
            "v3" => Some(Self::V3),
            _other => None,
        }
    }
}

/// Characters that a rule about one host has at most: what is more comes first.
pub(super) const LONGEST_HOST: usize = 300;

/// Whether text may stand in a rule: nothing in it ends the quotes, or is a pattern.
pub(super) fn is_plain(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !host.is_empty() && host.len() <= 253 && host.bytes().all(plain)
}

/// Exactly this host, which [`is_plain`].
pub(super) fn host(host: &str) -> String {
    format!("Host(`{host}`)")
}

/// Every host with one part more than the domain.
pub(super) fn below(domain: &str, syntax: Syntax) -> String {
    match syntax {
        Syntax::V2 => format!("HostRegexp(`{{branch:[a-z0-9-]+}}.{domain}`)"),
        Syntax::V3 => format!("HostRegexp(`^[a-z0-9-]+\\.{}$`)", domain.replace('.', "\\.")),
    }
}
