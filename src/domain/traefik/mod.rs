//! The route table as Traefik's dynamic configuration: what its HTTP provider polls and its file provider watches.
//!
//! Ready environments that everybody may look at lead straight to their containers, all others to drey's gate. Only text that
//! was checked gets into a rule: hosts are letters, digits, `-` and `.`. See
//! <https://doc.traefik.io/traefik/reference/dynamic-configuration/file/>.

mod backend;
mod rule;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::route::{Route, RouteTable};
use backend::Backend;
pub use rule::Syntax;

/// The service that leads to the gate.
const GATE: &str = "drey_gate";
/// The router of the domain's other hosts, and that of plain HTTP.
const REST: &str = "drey_rest";
const PLAIN: &str = "drey_plain";
const ROBOTS: &str = "drey_robots";
const HTTPS: &str = "drey_https";
const HSTS: &str = "drey_hsts";
const NO_INDEX: &str = "drey_noindex";

/// What does not come from branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub domain: String,
    pub syntax: Syntax,
    /// Where Traefik reaches drey's gate, for instance `http://127.0.0.1:8480`.
    pub gate: String,
    /// Traefik's entry points for branches.
    pub entry_points: Vec<String>,
    /// Entry points that only redirect to https; none: nothing is redirected.
    pub redirected: Vec<String>,
    /// Port of https, where it is not 443.
    pub https_port: Option<u16>,
    /// Traefik ends TLS at the entry points of branches.
    pub tls: bool,
    /// Who gets the certificates, as Traefik is configured; none: by those that it has.
    pub resolver: Option<String>,
    /// Ready environments lead straight to their containers.
    pub direct: bool,
    /// Whoever reads this may see the keys of client certificates. What needs one leads to the gate otherwise.
    pub tells_keys: bool,
    pub hsts: Option<Duration>,
    /// `/robots.txt` is the application's own.
    pub robots_by_app: bool,
    /// By repository; what is not here asks for nothing.
    pub policies: BTreeMap<String, Policy>,
}

/// What the hosts of a repository ask of their visitors' TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// TLS 1.3 at least.
    pub newest_only: bool,
    /// PEM of the authorities whose signature a visitor's certificate must have.
    pub client_authority: Option<String>,
}

/// The configuration for this table. The same table gives the same bytes. Nothing is empty in it: Traefik takes an empty table
/// for a fault.
pub fn document(table: &RouteTable, frame: &Frame) -> Value {
    let mut parts = Parts::new(frame);
    for (host, route) in table.hosts.iter().filter(|(host, _)| rule::is_plain(host)) {
        parts.host(host, route);
    }
    parts.rest();
    parts.into_document()
}

/// What the document is put together from.
struct Parts<'a> {
    frame: &'a Frame,
    routers: Map<String, Value>,
    services: Map<String, Value>,
    transports: Map<String, Value>,
    middlewares: Map<String, Value>,
    options: Map<String, Value>,
}

impl<'a> Parts<'a> {
    fn new(frame: &'a Frame) -> Self {
        let empty = Map::new;
        let mut parts = Self {
            frame,
            routers: empty(),
            services: empty(),
            transports: empty(),
            middlewares: empty(),
            options: empty(),
        };
        parts
            .services
            .insert(GATE.to_owned(), backend::service(std::slice::from_ref(&frame.gate), None, None));
        if frame.tls && frame.hsts.is_some() {
            let seconds = frame.hsts.unwrap_or_default().as_secs();
            let headers = json!({"headers": {"stsSeconds": seconds, "stsIncludeSubdomains": false}});
            parts.middlewares.insert(HSTS.to_owned(), headers);
        }
        if !frame.redirected.is_empty() {
            let mut to = json!({"scheme": "https", "permanent": true});
            if let Some(port) = frame.https_port {
                to["port"] = json!(port.to_string());
            }
            parts.middlewares.insert(HTTPS.to_owned(), json!({"redirectScheme": to}));
        }
        parts
    }

    fn host(&mut self, host: &str, route: &Route) {
        let name = format!("drey_{}", host.replace('.', "_"));
        let rule = rule::host(host);
        // As Traefik would choose itself: the longer rule first.
        let priority = rule.len();
        let mut router = self.router(&rule, GATE, priority);
        // Services that share a host by their paths are told apart by the gate.
        let straight = Backend::of(route, self.frame).filter(|_| route.paths.is_empty());
        if let Some(backend) = straight {
            router["service"] = json!(name);
            self.lead_to(&name, &backend);
            self.keep_out_of_indexes(&mut router);
        }
        if let Some(options) = self.options_of(route) {
            router["tls"]["options"] = json!(options);
        }
        self.routers.insert(name, router);
    }

    fn lead_to(&mut self, name: &str, backend: &Backend) {
        let transport = backend.transport();
        let named = transport.is_some().then_some(name);
        let sticky = backend.sticky.then(|| self.cookie());
        self.services.insert(name.to_owned(), backend::service(&backend.urls, sticky, named));
        if let Some(transport) = transport {
            self.transports.insert(name.to_owned(), transport);
        }
    }

    /// What the gate does for whom it leads to.
    fn keep_out_of_indexes(&mut self, router: &mut Value) {
        if self.frame.robots_by_app {
            return;
        }
        let headers = json!({"headers": {"customResponseHeaders": {"X-Robots-Tag": "noindex"}}});
        self.middlewares.entry(NO_INDEX).or_insert(headers);
        let used = router["middlewares"].as_array().cloned().unwrap_or_default();
        let used: Vec<Value> = used.into_iter().chain([json!(NO_INDEX)]).collect();
        router["middlewares"] = json!(used);
    }

    /// Hosts of the domain that no route knows, and plain HTTP.
    fn rest(&mut self) {
        let Frame { domain, syntax, .. } = self.frame;
        let below = rule::below(domain, *syntax);
        let rest = self.router(&below, GATE, 1);
        self.routers.insert(REST.to_owned(), rest);
        if !self.frame.robots_by_app && self.middlewares.contains_key(NO_INDEX) {
            let rule = format!("{below} && Path(`/robots.txt`)");
            let robots = self.router(&rule, GATE, rule.len() + rule::LONGEST_HOST);
            self.routers.insert(ROBOTS.to_owned(), robots);
        }
        if !self.frame.redirected.is_empty() {
            let plain = json!({
                "rule": below, "entryPoints": self.frame.redirected, "service": GATE, "middlewares": [HTTPS],
                "priority": below.len(),
            });
            self.routers.insert(PLAIN.to_owned(), plain);
        }
    }

    fn router(&self, rule: &str, service: &str, priority: usize) -> Value {
        let Frame { entry_points, .. } = self.frame;
        let mut router =
            json!({"rule": rule, "entryPoints": entry_points, "service": service, "priority": priority});
        if self.middlewares.contains_key(HSTS) {
            router["middlewares"] = json!([HSTS]);
        }
        if self.frame.tls {
            router["tls"] = match &self.frame.resolver {
                Some(resolver) => json!({"certResolver": resolver}),
                None => json!({}),
            };
        }
        router
    }

    fn cookie(&self) -> Value {
        json!({"cookie": {"name": "drey_to", "httpOnly": true, "secure": self.frame.tls, "sameSite": "lax"}})
    }

    /// The name of what the repository of a route asks of its visitors.
    fn options_of(&mut self, route: &Route) -> Option<String> {
        let policy = self.frame.policies.get(route.repo()).filter(|policy| **policy != Policy::default())?;
        if !self.frame.tls {
            return None;
        }
        let name = format!("drey_{}", route.repo());
        let mut options = json!({});
        if policy.newest_only {
            options["minVersion"] = json!("VersionTLS13");
        }
        if let Some(authority) = &policy.client_authority {
            options["clientAuth"] =
                json!({"caFiles": [authority], "clientAuthType": "RequireAndVerifyClientCert"});
        }
        self.options.insert(name.clone(), options);
        Some(name)
    }

    fn into_document(self) -> Value {
        let mut http = Map::new();
        for (key, part) in [
            ("routers", self.routers),
            ("services", self.services),
            ("middlewares", self.middlewares),
            ("serversTransports", self.transports),
        ] {
            if !part.is_empty() {
                http.insert(key.to_owned(), Value::Object(part));
            }
        }
        let mut document = json!({"http": http});
        if !self.options.is_empty() {
            document["tls"] = json!({"options": self.options});
        }
        document
    }
}

#[cfg(test)]
mod tests;
