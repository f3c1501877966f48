//! The route table: which hostname gets which answer. A value, made from the registry of environments.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::environment::{Outcome, Phase};
use super::names::{EnvironmentId, Generation};
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
}

impl Route {
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

/// Where a container of the environment listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub address: SocketAddr,
    pub scheme: Scheme,
    /// The container that listened there when the route was made.
    pub container: String,
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
    fn a_services_host_names_its_primary() {
        assert_eq!(primary_of("feature-x--api.qa.example").as_deref(), Some("feature-x.qa.example"));
        assert_eq!(primary_of("x--a--b.qa.example").as_deref(), Some("x.qa.example"));
        for none in ["feature-x.qa.example", "--api.qa.example", "x--.qa.example", "x--api", ""] {
            assert_eq!(primary_of(none), None, "{none}");
        }
    }
}
