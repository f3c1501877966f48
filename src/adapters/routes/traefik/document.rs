//! The routes as Traefik's dynamic configuration: what its HTTP provider asks for and its file provider watches.
//!
//! Only text that was checked gets into a rule. See <https://doc.traefik.io/traefik/reference/dynamic-configuration/file/>.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::TraefikSettings;
use super::{backend, rule};
use crate::adapters::routes::disk::MARK;
use crate::adapters::routes::model::{Backend, Environment, Frame, Model, Policy};

/// The service that leads to the gate.
pub(super) const GATE: &str = "drey_gate";
/// The router of the domain's other hosts, and that of plain HTTP.
pub(super) const REST: &str = "drey_rest";
pub(super) const PLAIN: &str = "drey_plain";
pub(super) const ROBOTS: &str = "drey_robots";
pub(super) const HTTPS: &str = "drey_https";
pub(super) const HSTS: &str = "drey_hsts";
pub(super) const NO_INDEX: &str = "drey_noindex";
/// A middleware that no router uses: Traefik's API tells by it which configuration is in force.
pub(super) const GENERATION: &str = "drey_generation";
/// The header in which that one has the mark.
pub(super) const MARK_HEADER: &str = "X-Drey-Generation";

/// The configuration for these routes. The same routes give the same bytes. Nothing is empty in it: Traefik takes an empty table
/// for a fault.
pub(super) fn document(frame: &Frame, model: &Model, settings: &TraefikSettings) -> Value {
    let mut parts = Parts::new(frame, settings);
    for environment in model.environments.values() {
        parts.environment(environment);
    }
    parts.rest();
    parts.into_document()
}

/// What the document is put together from.
struct Parts<'a> {
    frame: &'a Frame,
    settings: &'a TraefikSettings,
    routers: Map<String, Value>,
    services: Map<String, Value>,
    transports: Map<String, Value>,
    middlewares: Map<String, Value>,
    options: Map<String, Value>,
}

impl<'a> Parts<'a> {
    fn new(frame: &'a Frame, settings: &'a TraefikSettings) -> Self {
        let empty = Map::new;
        let mut parts = Self {
            frame,
            settings,
            routers: empty(),
            services: empty(),
            transports: empty(),
            middlewares: empty(),
            options: empty(),
        };
        let gate = settings.gate.clone().unwrap_or_else(|| format!("http://{}", frame.gate));
        parts.services.insert(GATE.to_owned(), backend::service(&[gate], None, None));
        let mark = json!({"headers": {"customResponseHeaders": {MARK_HEADER: MARK}}});
        parts.middlewares.insert(GENERATION.to_owned(), mark);
        if let (Some(_), Some(time)) = (frame.https, frame.hsts) {
            let headers = json!({"headers": {"stsSeconds": time.as_secs(), "stsIncludeSubdomains": false}});
            parts.middlewares.insert(HSTS.to_owned(), headers);
        }
        parts
    }

    fn environment(&mut self, environment: &Environment) {
        let options = self.options_of(&environment.policy);
        for host in &environment.hosts {
            let rule = rule::host(host);
            // As Traefik would choose itself: the longer rule first.
            let mut router = self.router(&rule, GATE, rule.len());
            let name = format!("drey_{}", host.replace('.', "_"));
            if let Some(backend) = environment.direct.get(host) {
                router["service"] = json!(name);
                self.lead_to(&name, backend);
                self.keep_out_of_indexes(&mut router);
            }
            if let Some(options) = &options {
                router["tls"]["options"] = json!(options);
            }
            self.routers.insert(name, router);
        }
    }

    fn lead_to(&mut self, name: &str, backend: &Backend) {
        let transport = backend::transport(backend, self.frame.upstream_timeout);
        let named = transport.is_some().then_some(name);
        let sticky = backend.sticky.then(|| self.cookie());
        self.services.insert(name.to_owned(), backend::service(&backend::urls(backend), sticky, named));
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
        let below = rule::below(&self.frame.domain, self.settings.syntax);
        let rest = self.router(&below, GATE, 1);
        self.routers.insert(REST.to_owned(), rest);
        if self.middlewares.contains_key(NO_INDEX) {
            let rule = format!("{below} && Path(`/robots.txt`)");
            let robots = self.router(&rule, GATE, rule.len() + rule::LONGEST_HOST);
            self.routers.insert(ROBOTS.to_owned(), robots);
        }
        if let (Some(https), Some(_)) = (self.frame.https, self.frame.http) {
            let mut to = json!({"scheme": "https", "permanent": true});
            if https.port() != 443 {
                to["port"] = json!(https.port().to_string());
            }
            self.middlewares.insert(HTTPS.to_owned(), json!({"redirectScheme": to}));
            let plain = json!({
                "rule": below, "entryPoints": self.settings.redirected, "service": GATE, "middlewares": [HTTPS],
                "priority": below.len(),
            });
            self.routers.insert(PLAIN.to_owned(), plain);
        }
    }

    fn router(&self, rule: &str, service: &str, priority: usize) -> Value {
        let entry_points = &self.settings.entry_points;
        let mut router =
            json!({"rule": rule, "entryPoints": entry_points, "service": service, "priority": priority});
        if self.middlewares.contains_key(HSTS) {
            router["middlewares"] = json!([HSTS]);
        }
        if self.frame.https.is_some() {
            router["tls"] = match &self.settings.resolver {
                Some(resolver) => json!({"certResolver": resolver}),
                None => json!({}),
            };
        }
        router
    }

    fn cookie(&self) -> Value {
        let is_secure = self.frame.https.is_some();
        json!({"cookie": {"name": "drey_to", "httpOnly": true, "secure": is_secure, "sameSite": "lax"}})
    }

    /// The name of what a repository asks of its visitors' TLS.
    fn options_of(&mut self, policy: &Policy) -> Option<String> {
        if *policy == Policy::default() || self.frame.https.is_none() {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(format!("{policy:?}")).into();
        let name = format!("drey_{}", hex::encode(&digest[..6]));
        let mut options = json!({});
        if policy.newest_only {
            options["minVersion"] = json!("VersionTLS13");
        }
        if let Some(authority) = &policy.client_authority {
            let authority = String::from_utf8_lossy(authority);
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
