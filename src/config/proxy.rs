//! `[proxy]`: where branches live, and how they are reached.

use std::net::SocketAddr;
use std::time::Duration;

use super::gate::Gate;
use super::provider::{Provider, ProviderKind};
use super::proxy_bounds::{ProxyLimits, ProxyTimeouts};
use super::reader::Section;
use super::sections::networks;
use super::tls::TlsMode;
use super::traefik::Traefik;
use crate::domain::network::Network;

/// `[proxy]`.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub provider: Provider,
    pub domain: String,
    pub https: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub tls: TlsMode,
    /// How long browsers are to remember that a host speaks TLS only; none: they are not told.
    pub hsts: Option<Duration>,
    pub gate: Gate,
    /// `/robots.txt` is the application's own; else every host keeps search engines out.
    pub robots_by_app: bool,
    /// Proxies before this one, whose word on the client is passed on.
    pub trusted_proxies: Vec<Network>,
    pub timeouts: ProxyTimeouts,
    pub limits: ProxyLimits,
    /// What visitors ask for is written down.
    pub access_log: bool,
    pub traefik: Traefik,
}

impl Proxy {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let provider = Provider::read(section);
        let domain = section.read("domain", |value| {
            let domain = value.as_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
            let label = |label: &str| {
                !label.is_empty()
                    && label.len() <= 63
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            };
            // 253 octets in all; the longest first part is 63, and a dot.
            if domain.len() <= 189 && domain.split('.').all(label) {
                return Ok(domain);
            }
            Err("must be a domain name, for instance \"qa.example\"".to_owned())
        });
        let (https, http) = (section.address("https"), section.address("http"));
        let reachable = https.is_some() || http.is_some() || section.has_fault("http");
        section.needed("https", reachable, "neither https nor http is given: nothing could be reached");
        section.needed("domain", domain.is_some(), "is needed: branches live at <slug>.<domain>");
        for (key, why) in provider.unreachable([("https", https), ("http", http)]) {
            section.fault(key, why);
        }
        refuse_certificates(section, &provider);
        let tls = TlsMode::read(&mut section.section("tls"));
        if let Some((key, why)) = tls.unreachable(https.is_some(), http.is_some()) {
            section.needed(key, false, why);
        }
        if provider.is_outside() && matches!(tls, TlsMode::Acme(_)) {
            let message =
                "\"acme\" is for `provider = \"embedded\"`: give \"files\" that your own client renews";
            section.needed("tls.mode", false, message);
        }
        let hsts = section.duration("hsts");
        let told = hsts.is_none() || https.is_some();
        section.needed("hsts", told, "needs `https`: there is no TLS without it");
        let gate = Gate::read(&mut section.section("gate"));
        let robots_by_app = section.read("robots", |value| match value.as_str() {
            Some("deny") => Ok(false),
            Some("app") => Ok(true),
            Some(_) | None => Err("must be \"deny\" or \"app\"".to_owned()),
        });
        let robots_by_app = robots_by_app.unwrap_or_default();
        let access_log = section.flag("access_log").unwrap_or(true);
        let domain = domain.unwrap_or_default();
        let trusted_proxies = section.read("trusted_proxies", networks).unwrap_or_default();
        let timeouts = ProxyTimeouts::read(&mut section.section("timeouts"));
        let limits = ProxyLimits::read(&mut section.section("limits"));
        let traefik = traefik(section, &provider, https.is_some());
        let read = Self {
            provider,
            domain,
            https,
            http,
            tls,
            hsts,
            gate,
            robots_by_app,
            trusted_proxies,
            timeouts,
            limits,
            access_log,
            traefik,
        };
        section.finish();
        read
    }

    /// Where drey itself listens, with TLS and without: what another proxy has in front comes without.
    pub fn own_listeners(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        match self.provider.is_outside() {
            false => (self.https, self.http),
            true => (None, Some(self.provider.gate_listen)),
        }
    }

    /// Proxies whose word on the client drey itself believes: one in front of it knows whom to believe.
    pub fn believed(&self) -> Vec<Network> {
        match self.provider.is_outside() {
            false => self.trusted_proxies.clone(),
            true => {
                let here = ["127.0.0.0/8", "::1"].iter().filter_map(|text| Network::parse(text).ok());
                // A Traefik may run elsewhere, and knows itself whom to believe.
                let is_traefik = self.provider.kind == ProviderKind::Traefik;
                here.chain(self.trusted_proxies.iter().copied().filter(|_| is_traefik)).collect()
            }
        }
    }

    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        [self.https, self.http].iter().flatten().all(|address| address.ip().is_loopback())
    }
}

/// What a Traefik in front is told; with another proxy in front that would count for nothing.
fn traefik(section: &mut Section<'_>, provider: &Provider, has_tls: bool) -> Traefik {
    let is_in_front = provider.kind == ProviderKind::Traefik;
    if section.gives("traefik") && !is_in_front {
        let way = "is for `provider = \"traefik\"`: set that under [proxy], and let Traefik reach drey at \
                   `proxy.gate_listen` (127.0.0.1:8421) in place of `proxy.http`; docs/traefik.md has the whole";
        section.fault("traefik", way);
    }
    Traefik::read(&mut section.section("traefik"), has_tls)
}

/// drey has no certificates of a Traefik.
fn refuse_certificates(section: &mut Section<'_>, provider: &Provider) {
    if section.gives("tls") && provider.kind == ProviderKind::Traefik {
        let way = "certificates are Traefik's own: leave [proxy.tls] out, and name who gets them with \
                   `proxy.traefik.cert_resolver`";
        section.fault("tls", way);
    }
}
