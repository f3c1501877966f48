//! The route table: which hostname gets which answer. A value, made from the registry of environments.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backend::{BackendTls, Balance};
use super::environment::{Outcome, Phase};
use super::names::{EnvironmentId, Generation};
use super::path::PathPrefix;
use super::visitors::Access;

/// All that the proxy knows. Replaced as a whole; a reader sees the old table or the new one, never a mixture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// Lower-case full hostname, without port → route.
    pub hosts: BTreeMap<String, Route>,
    /// Hostname of a primary whose services are not known yet → what each `<slug>--<service>` beside it leads to that is
    /// not among `hosts`.
    pub families: BTreeMap<String, Route>,
}

/// The primary's hostname of one that may be another service's: `a.x` of `a--b.x`. A slug holds no `--`.
pub fn primary_of(host: &str) -> Option<String> {
    let (label, domain) = host.split_once('.')?;
    let (slug, service) = label.split_once("--")?;
    (!slug.is_empty() && !service.is_empty()).then(|| format!("{slug}.{domain}"))
}

/// What one hostname leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub environment: EnvironmentId,
    /// With `environment` the key of the pool of upstream connections: a recycled address never serves another branch.
    pub generation: Generation,
    /// `REPO/BRANCH`, as git spells it. Untrusted text: escape it wherever it is shown.
    pub name: String,
    pub service: String,
    /// Who may look.
    pub access: Access,
    pub answer: Answer,
    /// Paths that lead to other services of the environment, longest first. Mostly there are none.
    pub paths: Vec<PathRoute>,
}

/// What the paths of a host below one prefix lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRoute {
    /// Never `/`.
    pub prefix: PathPrefix,
    /// The service sees the paths without the prefix.
    pub strip: bool,
    pub service: String,
    pub answer: Answer,
}

impl Route {
    /// The route of one of its paths, alone.
    #[must_use]
    pub fn below(&self, path: &PathRoute) -> Self {
        let (service, answer) = (path.service.clone(), path.answer.clone());
        let (name, access) = (self.name.clone(), self.access.clone());
        Self { service, answer, name, access, paths: Vec::new(), ..*self }
    }

    /// The repository's name: it has no slash.
    pub fn repo(&self) -> &str {
        self.name.split_once('/').map_or(self.name.as_str(), |(repo, _)| repo)
    }
}

/// How a request to the hostname is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Passed on.
    Proxy(Upstream),
    /// Its container is being replaced: passed on while the old one answers, held otherwise.
    Replacing(Option<Upstream>),
    /// A page that says where the environment stands.
    Page(Page),
}

/// What a page about an environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub phase: Phase,
    /// Untrusted text: it may quote a branch's own output.
    pub reason: Option<String>,
    pub outcome: Option<Outcome>,
    /// It sleeps, and a visit does not wake it: why stands in `reason`.
    pub is_tired: bool,
}

impl Page {
    /// A visit wakes what stands here.
    pub fn wakes(&self) -> bool {
        self.phase == Phase::Asleep && !self.is_tired
    }

    /// It will be there without anybody doing anything more, so a request may wait for it.
    pub fn is_coming(&self) -> bool {
        match self.phase {
            Phase::Queued
            | Phase::Preparing
            | Phase::Building
            | Phase::Starting
            | Phase::Updating
            | Phase::Waking => true,
            Phase::Asleep => !self.is_tired,
            Phase::Ready
            | Phase::Failed
            | Phase::Blocked
            | Phase::Archiving
            | Phase::Archived
            | Phase::Destroying
            | Phase::Destroyed => false,
        }
    }
}

/// Where a service of the environment listens: in one container, or in several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub address: SocketAddr,
    pub scheme: Scheme,
    /// The container that listened there when the route was made.
    pub container: String,
    /// The service's other containers.
    pub others: Vec<Replica>,
    pub balance: Balance,
    /// A visitor stays with the container that answered first.
    pub sticky: bool,
    /// For `https`; none: any certificate will do.
    pub tls: Option<Arc<BackendTls>>,
    /// How long the head of an answer may take; none: as the proxy is configured.
    pub timeout: Option<Duration>,
}

/// One more container of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub address: SocketAddr,
    pub container: String,
}

impl Upstream {
    /// One container, spoken to in the usual way.
    pub fn new(address: SocketAddr, scheme: Scheme, container: impl Into<String>) -> Self {
        Self {
            address,
            scheme,
            container: container.into(),
            others: Vec::new(),
            balance: Balance::default(),
            sticky: false,
            tls: None,
            timeout: None,
        }
    }

    /// The same with those containers only that pass; nothing where none does.
    #[must_use]
    pub fn only(self, passes: impl Fn(&str) -> bool) -> Option<Self> {
        let first = Replica { address: self.address, container: self.container.clone() };
        let all = std::iter::once(first).chain(self.others.iter().cloned());
        let mut left = all.filter(|replica| passes(&replica.container));
        let first = left.next()?;
        let others = left.collect();
        Some(Self { address: first.address, container: first.container, others, ..self })
    }
}

/// How the service is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    #[default]
    Http,
    Https,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// Probed by a connect, never routed.
    Tcp,
}

impl Scheme {
    /// As in the label `drey.scheme`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Tcp => "tcp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_do_not_pass_are_left_out() {
        let address = |number| SocketAddr::from(([10, 0, 0, number], 80));
        let others = [2, 3].map(|number| Replica { address: address(number), container: number.to_string() });
        let all = Upstream { others: others.to_vec(), ..Upstream::new(address(1), Scheme::Http, "1") };
        assert_eq!(all.clone().only(|_| true), Some(all.clone()));
        let left = all.clone().only(|container| container != "1").unwrap();
        assert_eq!((left.address, left.others.as_slice()), (address(2), &others[1..]));
        assert_eq!(all.only(|_| false), None);
    }

    #[test]
    fn a_services_host_names_its_primary() {
        assert_eq!(primary_of("feature-x--api.qa.example").as_deref(), Some("feature-x.qa.example"));
        assert_eq!(primary_of("x--a--b.qa.example").as_deref(), Some("x.qa.example"));
        for none in ["feature-x.qa.example", "--api.qa.example", "x--.qa.example", "x--api", ""] {
            assert_eq!(primary_of(none), None, "{none}");
        }
    }
}
