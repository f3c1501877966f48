//! `[proxy.traefik]`: what a Traefik of the team's own is told, and how it comes for it.

use std::path::PathBuf;
use std::time::Duration;

use super::provider::absolute;
use super::reader::Section;

/// How often Traefik asks, as it comes.
const POLLS_EVERY: Duration = Duration::from_secs(5);
/// Keys of the time when Traefik was told beside drey's own proxy.
const MOVED: [(&str, &str); 3] = [
    ("tls", "follows from `proxy.https`: leave this key out"),
    ("https_port", "follows from `proxy.https`: leave this key out"),
    ("direct", "is `proxy.direct` now"),
];

/// Which of Traefik's two languages of rules is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraefikSyntax {
    V2,
    #[default]
    V3,
}

/// `[proxy.traefik]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traefik {
    /// Where drey writes; none: beside the data directory.
    pub directory: Option<PathBuf>,
    /// Where Traefik reaches drey's gate; none: at `proxy.gate_listen`.
    pub gate: Option<String>,
    pub entry_points: Vec<String>,
    /// Entry points that only redirect to https.
    pub redirected: Vec<String>,
    pub resolver: Option<String>,
    pub syntax: TraefikSyntax,
    /// What Traefik watches; none: it asks by HTTP.
    pub file: Option<PathBuf>,
    /// Host and port of Traefik's API.
    pub api: Option<String>,
    /// How often Traefik asks.
    pub poll_interval: Duration,
}

impl Traefik {
    /// `has_tls`: branches are reached with TLS.
    pub(super) fn read(section: &mut Section<'_>, has_tls: bool) -> Self {
        for (key, told) in MOVED {
            section.read(key, |_| Err::<(), _>(told.to_owned()));
        }
        let gate = section.text("gate").map(|gate| gate.trim_end_matches('/').to_owned());
        let is_url = |gate: &str| gate.strip_prefix("http://").is_some_and(is_address);
        section.needed(
            "gate",
            gate.as_deref().is_none_or(is_url),
            "must be where Traefik reaches drey's gate, such as \"http://127.0.0.1:8421\"",
        );
        let names = |names: Option<Vec<String>>, usual: &str| names.unwrap_or_else(|| vec![usual.to_owned()]);
        let entry_points = names(section.texts("entry_points"), if has_tls { "websecure" } else { "web" });
        let redirected = names(section.texts("redirect_entry_points"), "web");
        for (key, given) in [("entry_points", &entry_points), ("redirect_entry_points", &redirected)] {
            section.needed(key, !given.is_empty(), "must name one at least, such as \"websecure\"");
        }
        let syntax = section.read("syntax", |value| match value.as_str() {
            Some("v2") => Ok(TraefikSyntax::V2),
            Some("v3") => Ok(TraefikSyntax::V3),
            Some(_) | None => Err("must be \"v2\" or \"v3\": Traefik's version".to_owned()),
        });
        let api = section.read("api", |value| {
            let address = value.as_str().unwrap_or_default().trim_end_matches('/').strip_prefix("http://");
            let address = address.filter(|address| is_address(address) && address.contains(':'));
            let told = "must be where Traefik's API answers, such as \"http://127.0.0.1:8080\"";
            address.map(str::to_owned).ok_or_else(|| told.to_owned())
        });
        let read = Self {
            directory: absolute(section, "directory"),
            gate,
            entry_points,
            redirected,
            resolver: section.text("cert_resolver"),
            syntax: syntax.unwrap_or_default(),
            file: absolute(section, "file"),
            api,
            poll_interval: section.duration("poll_interval").unwrap_or(POLLS_EVERY),
        };
        section.finish();
        read
    }
}

/// Host and port, no more.
fn is_address(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', ' ', '?', '#', '@'])
}
