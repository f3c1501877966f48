//! The route table as any proxy understands it: hosts, and where each leads. Ordered, so that the same table always gives the
//! same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::backend::{BackendTls, Balance};
use crate::domain::names::EnvironmentId;
use crate::domain::route::{Answer, Route, RouteTable, Scheme, Upstream};
use crate::domain::visitors::Access;

/// What does not come from branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub domain: String,
    pub https: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    /// Where drey's gate listens, as the proxy reaches it.
    pub gate: SocketAddr,
    /// Ready environments lead straight to their containers.
    pub direct: bool,
    /// Repositories whose environments go to sleep when nobody comes.
    pub sleepers: BTreeSet<String>,
    /// The first is for every host that none of the others names.
    pub certificates: Vec<Certificate>,
    /// By repository; what is not here asks for nothing.
    pub policies: BTreeMap<String, Policy>,
    /// The local authority's certificate, PEM, for whoever wants to trust it.
    pub authority: Option<String>,
    pub hsts: Option<Duration>,
    /// `/robots.txt` is the application's own; else the gate answers it.
    pub robots_by_app: bool,
    /// Proxies before this one, whose word on the client is believed.
    pub trusted: Vec<String>,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub connect_timeout: Duration,
    /// None: a container may take as long as it likes.
    pub upstream_timeout: Option<Duration>,
}

/// A certificate with its chain and its key, PEM, and the names that it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    pub names: Vec<String>,
    pub chain: Vec<u8>,
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).finish_non_exhaustive()
    }
}

/// What the hosts of a repository ask of their visitors' TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Policy {
    /// TLS 1.3 at least.
    pub newest_only: bool,
    /// PEM of the authorities whose signature a visitor's certificate must have.
    pub client_authority: Option<Vec<u8>>,
}

/// What a proxy can do beyond passing requests on. What it cannot, the gate does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Nothing leads straight to containers.
    pub gate_only: bool,
    /// HTTP/2 without TLS to containers.
    pub h2c: bool,
    /// Keeping a visitor with one of several containers.
    pub sticky: bool,
    /// A limit of its own for the answers of a service.
    pub timeout: bool,
    /// One of several containers is chosen in turn only, never the one with the fewest requests.
    pub even_only: bool,
    /// It is not given the keys of client certificates.
    pub no_keys: bool,
    /// It tells nobody of requests: what sleeps when nobody comes must be seen by the gate.
    pub unseen: bool,
}

/// All environments, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub environments: BTreeMap<u64, Environment>,
}

/// One environment. Hosts that nothing is said of lead to the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `REPO/BRANCH`. Untrusted text: it is written into no configuration.
    pub name: String,
    pub policy: Policy,
    /// Every host it has.
    pub hosts: BTreeSet<String>,
    /// A primary's host, whose `<slug>--<service>` hosts are all the environment's.
    pub family: Option<String>,
    /// Host → where it leads, of those that lead straight to containers.
    pub direct: BTreeMap<String, Backend>,
}

/// Containers of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Unique, of letters, digits, `-` and `_`.
    pub name: String,
    pub servers: Vec<SocketAddr>,
    pub scheme: Scheme,
    pub balance: Balance,
    pub sticky: bool,
    /// For `https`; none: any certificate will do.
    pub tls: Option<Arc<BackendTls>>,
    pub timeout: Option<Duration>,
}

impl Model {
    /// The table for a proxy that can do this.
    pub fn compile(table: &RouteTable, frame: &Frame, abilities: Abilities) -> Self {
        let mut model = Self::default();
        for (host, route) in table.hosts.iter().filter(|(host, _)| is_plain(host)) {
            let environment = model.environment(route, frame);
            environment.hosts.insert(host.clone());
            if let Some(backend) = backend(host, route, frame, abilities) {
                environment.direct.insert(host.clone(), backend);
            }
        }
        for (primary, route) in table.families.iter().filter(|(host, _)| is_plain(host)) {
            model.environment(route, frame).family = Some(primary.clone());
        }
        model
    }

    fn environment(&mut self, route: &Route, frame: &Frame) -> &mut Environment {
        let id = key(route.environment);
        self.environments.entry(id).or_insert_with(|| Environment {
            name: route.name.clone(),
            policy: frame.policies.get(route.repo()).cloned().unwrap_or_default(),
            hosts: BTreeSet::new(),
            family: None,
            direct: BTreeMap::new(),
        })
    }

    /// The same with these environments led to the gate.
    #[must_use]
    pub fn gated(&self, which: impl Fn(u64) -> bool) -> Self {
        let mut model = self.clone();
        for (id, environment) in &mut model.environments {
            if which(*id) {
                environment.direct.clear();
            }
        }
        model
    }

    /// Hosts that lead straight to containers, with where.
    pub fn direct(&self) -> impl Iterator<Item = (&String, &Backend)> {
        self.environments.values().flat_map(|environment| &environment.direct)
    }
}

/// Those of containers that drey did not start are below zero, and stay apart.
pub(super) fn key(environment: EnvironmentId) -> u64 {
    environment.0.cast_unsigned()
}

/// Where the host leads straight to: only what is ready, what everybody may look at, and what the proxy can do.
fn backend(host: &str, route: &Route, frame: &Frame, abilities: Abilities) -> Option<Backend> {
    let Answer::Proxy(upstream) = &route.answer else { return None };
    let is_open = match route.access {
        Access::Open => true,
        Access::Link(_) | Access::Basic(_) | Access::Token => false,
    };
    // Only the gate takes paths apart.
    let may = frame.direct && !abilities.gate_only;
    let is_seen = !abilities.unseen || !frame.sleepers.contains(route.repo());
    if !may || !is_open || !is_seen || !route.paths.is_empty() || !can(upstream, abilities) {
        return None;
    }
    let mut servers: Vec<SocketAddr> = upstream.others.iter().map(|replica| replica.address).collect();
    servers.push(upstream.address);
    servers.sort_unstable();
    servers.dedup();
    Some(Backend {
        name: host.replace('.', "_"),
        sticky: upstream.sticky && servers.len() > 1,
        servers,
        scheme: upstream.scheme,
        balance: upstream.balance,
        tls: upstream.tls.clone(),
        timeout: upstream.timeout,
    })
}

fn can(upstream: &Upstream, abilities: Abilities) -> bool {
    let speaks = match upstream.scheme {
        Scheme::Http | Scheme::Https => true,
        Scheme::H2c => abilities.h2c,
        Scheme::Tcp => false,
    };
    let is_one = upstream.others.is_empty();
    let keeps = abilities.sticky || !upstream.sticky || is_one;
    let spreads = !abilities.even_only || is_one || upstream.balance == Balance::RoundRobin;
    let has_key = upstream.tls.as_ref().is_some_and(|tls| tls.identity.is_some());
    let proves = !abilities.no_keys || !has_key;
    speaks && keeps && spreads && proves && (abilities.timeout || upstream.timeout.is_none())
}

/// Hosts are checked where they come in; a configuration file is no place to find out that one was not.
fn is_plain(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !host.is_empty() && host.len() <= 253 && host.bytes().all(plain)
}
