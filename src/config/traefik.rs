//! `[proxy.traefik]`: what a Traefik of the team's own is told.

use std::path::PathBuf;

use super::reader::Section;
use crate::domain::traefik::Syntax;

/// `[proxy.traefik]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traefik {
    /// Where Traefik reaches drey's gate; none: at `proxy.http`, where that is no redirect.
    pub gate: Option<String>,
    pub entry_points: Vec<String>,
    /// Entry points that only redirect to https.
    pub redirected: Vec<String>,
    /// Traefik ends TLS.
    pub tls: bool,
    /// Port of https, as visitors see it.
    pub https_port: Option<u16>,
    pub resolver: Option<String>,
    pub syntax: Syntax,
    /// Ready environments lead straight to their containers.
    pub direct: bool,
    /// Written with each change, for Traefik's file provider.
    pub file: Option<PathBuf>,
}

impl Traefik {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let gate = section.text("gate").map(|gate| gate.trim_end_matches('/').to_owned());
        let is_url = |gate: &str| {
            let host = gate.strip_prefix("http://").or_else(|| gate.strip_prefix("https://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '?', '#', '@']))
        };
        let is_good = gate.as_deref().is_none_or(is_url);
        section.needed(
            "gate",
            is_good,
            "must be where Traefik reaches drey, such as \"http://127.0.0.1:8480\"",
        );
        let names = |names: Option<Vec<String>>, usual: &str| names.unwrap_or_else(|| vec![usual.to_owned()]);
        let entry_points = names(section.texts("entry_points"), "websecure");
        section.needed(
            "entry_points",
            !entry_points.is_empty(),
            "must name one at least, such as \"websecure\"",
        );
        let syntax = section.read("syntax", |value| {
            let syntax = value.as_str().and_then(Syntax::parse);
            syntax.ok_or_else(|| "must be \"v2\" or \"v3\": Traefik's version".to_owned())
        });
        let tls = section.flag("tls").unwrap_or(true);
        let redirected = names(section.texts("redirect_entry_points"), "web");
        let port = section.number("https_port").and_then(|port| {
            let port = u16::try_from(port).ok().filter(|port| *port > 0);
            section.needed("https_port", port.is_some(), "must be a port, 1 to 65535");
            port
        });
        let read = Self {
            gate,
            entry_points,
            redirected: if tls { redirected } else { Vec::new() },
            tls,
            https_port: port.filter(|port| *port != 443),
            resolver: section.text("cert_resolver"),
            syntax: syntax.unwrap_or_default(),
            direct: section.flag("direct").unwrap_or(true),
            file: section.path("file"),
        };
        section.finish();
        read
    }
}
