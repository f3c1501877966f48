//! The tables of the file, but for the proxy and repositories.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;

use super::engine::{self, EngineTls};
use super::reader::{Section, at_least_one};
use super::secret::Secret;
use crate::domain::dashboard::Origin;
use crate::domain::network::Network;
use crate::domain::places::WhenFull;
use crate::domain::subnet::Subnet;
use crate::domain::walls;

/// `[http]`: webhooks, health, metrics.
#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Failed deliveries of one address in a second.
    pub rate_per_address: u32,
    /// Signed deliveries of one repository in a second.
    pub rate_per_repository: u32,
}

impl Http {
    /// Where others reach the daemon: the public address, else the one it listens on.
    pub fn address(&self) -> String {
        let address = self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.listen));
        address.trim_end_matches('/').to_owned()
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8420));
        let read = Self {
            listen: section.address("listen").unwrap_or(default),
            public_url: section.read("public_url", public_url),
            trusted_proxies: section.read("trusted_proxies", networks).unwrap_or_default(),
            rate_per_address: section.read("rate_per_address", rate).unwrap_or(20),
            rate_per_repository: section.read("rate_per_repository", rate).unwrap_or(1000),
        };
        section.finish();
        read
    }
}

/// An address that browsers and hooks reach.
fn public_url(value: &Value) -> Result<String, String> {
    let text = value.as_str().unwrap_or_default();
    let is_address = Origin::of_url(text).is_some();
    let wrong = || "must be an address with its scheme, for instance \"https://drey.example\"".to_owned();
    is_address.then(|| text.to_owned()).ok_or_else(wrong)
}

pub(super) fn networks(value: &Value) -> Result<Vec<Network>, String> {
    let items = value.as_array().ok_or("must be a list of networks, for instance [\"10.0.0.0/8\"]")?;
    let network = |item: &Value| {
        let text = item.as_str().ok_or("must be a list of texts, for instance [\"10.0.0.0/8\"]")?;
        Network::parse(text).map_err(|error| error.to_string())
    };
    items.iter().map(network).collect()
}

/// How often in a second.
fn rate(value: &Value) -> Result<u32, String> {
    let number = at_least_one(value)?;
    u32::try_from(number).map_err(|_huge| "must be a number of a second, below 4294967296".to_owned())
}

/// `[engine]`.
#[derive(Clone, Debug)]
pub struct Engine {
    pub host: String,
    /// Of an engine at `tcp://` that speaks TLS.
    pub tls: Option<EngineTls>,
    /// The program for `ssh://`.
    pub ssh: String,
    /// CIDR from which each network gets a /27.
    pub subnets: String,
    /// Globs of registries that images may come from.
    pub registries: Vec<String>,
    /// Walls around environments.
    pub firewall: walls::Mode,
    /// Networks that no branch reaches.
    pub deny: Vec<Subnet>,
    /// Networks of the engine that are walled in besides those of environments.
    pub wall_in: Vec<Subnet>,
    /// Ports of this machine that branches reach besides the proxy's.
    pub host_ports: Vec<u16>,
}

impl Engine {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let (host, tls) = engine::read(section);
        let subnets = section.read("subnets", |value| {
            let text = value.as_str().unwrap_or_default();
            Subnet::parse_pool(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
        });
        let firewall = section.read("firewall", |value| match value.as_str() {
            Some("on") => Ok(walls::Mode::On),
            Some("required") => Ok(walls::Mode::Required),
            Some("off") => Ok(walls::Mode::Off),
            Some(_) | None => Err("must be \"on\", \"required\" or \"off\"".to_owned()),
        });
        let subnets = subnets.unwrap_or_else(|| "10.213.0.0/16".to_owned());
        let wall_in = subnets_of(section, "wall_in");
        if Subnet::parse(&subnets).is_ok_and(|pool| wall_in.iter().any(|network| network.overlaps(pool))) {
            section.fault(
                "wall_in",
                "must not overlap engine.subnets: networks of environments have walls of their own",
            );
        }
        let read = Self {
            host,
            tls,
            ssh: section.text("ssh").unwrap_or_else(|| "ssh".to_owned()),
            subnets,
            registries: section.texts("registries").unwrap_or_else(|| vec!["*".to_owned()]),
            firewall: firewall.unwrap_or_default(),
            deny: subnets_of(section, "deny"),
            wall_in,
            host_ports: section.ports("host_ports").unwrap_or_default(),
        };
        section.finish();
        read
    }
}

fn subnets_of(section: &mut Section<'_>, key: &'static str) -> Vec<Subnet> {
    let texts = section.texts(key).unwrap_or_default();
    let parsed: Result<Vec<Subnet>, _> = texts.iter().map(|text| Subnet::parse(text)).collect();
    parsed.unwrap_or_else(|error| {
        section.fault(key, error.to_string());
        Vec::new()
    })
}

/// `[[registry]]`: credentials for pulls and builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryCredential {
    pub host: String,
    pub user: String,
    pub password: Secret,
}

impl RegistryCredential {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let (host, user) = (section.text("host"), section.text("user"));
        let password = section.secret(["password", "password_file", "password_env"]);
        section.needed("host", host.is_some(), "is needed");
        section.needed("user", user.is_some(), "is needed");
        let told = ["password_file", "password_env"].iter().any(|key| section.has_fault(key));
        section.needed("password", password.is_some() || told, "is needed");
        section.finish();
        Self {
            host: host.unwrap_or_default(),
            user: user.unwrap_or_default(),
            password: password.unwrap_or_else(|| Secret::new(String::new())),
        }
    }
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Environments that are awake at once; `None`: any number.
    pub environments: Option<u64>,
    pub when_full: WhenFull,
    /// Builds at once.
    pub builds: u64,
    /// Memory of all builds together, in bytes; `None`: half of the machine's.
    pub build_memory: Option<u64>,
    /// Longest build.
    pub build_time: Duration,
    /// Bytes of a checkout.
    pub checkout_bytes: u64,
    pub checkout_files: u64,
    /// Bytes of one file of a checkout.
    pub checkout_file_bytes: u64,
    /// Bytes that one fetch may put on the disk.
    pub fetch_bytes: u64,
    /// Address space of a git command, in bytes.
    pub git_memory: u64,
    /// Memory of one service, in bytes.
    pub memory: u64,
    /// CPUs of one service.
    pub cpus: f64,
    /// Processes of one service.
    pub pids: u64,
    /// Memory of all services of an environment together, in bytes.
    pub environment_memory: Option<u64>,
    /// CPUs of all services of an environment together.
    pub environment_cpus: Option<f64>,
    /// How often visits wake one environment within an hour; `None`: any number.
    pub wakes_per_hour: Option<u64>,
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let when_full = section.read("when_full", |value| match value.as_str() {
            Some("wait") => Ok(WhenFull::Wait),
            Some("sleep-oldest") => Ok(WhenFull::SleepOldest),
            Some("archive-oldest") => Ok(WhenFull::ArchiveOldest),
            Some(_) | None => Err("must be wait, sleep-oldest or archive-oldest".to_owned()),
        });
        let environments =
            section.unless("environments", "unlimited", |section, key| section.read(key, at_least_one));
        let wakes =
            section.unless("wakes_per_hour", "unlimited", |section, key| section.read(key, at_least_one));
        let read = Self {
            wakes_per_hour: wakes.unwrap_or(Some(60)),
            environments: environments.unwrap_or(Some(50)),
            when_full: when_full.unwrap_or_default(),
            builds: section.number("builds").unwrap_or(2),
            build_memory: section.size("build_memory"),
            build_time: section.duration("build_time").unwrap_or(Duration::from_secs(30 * 60)),
            checkout_bytes: section.size("checkout_bytes").unwrap_or(1_000_000_000),
            checkout_files: section.number("checkout_files").unwrap_or(50_000),
            checkout_file_bytes: section.size("checkout_file_bytes").unwrap_or(256 << 20),
            fetch_bytes: section.size("fetch_bytes").unwrap_or(2 << 30),
            git_memory: section.size("git_memory").unwrap_or(2 << 30),
            memory: section.size("memory").unwrap_or(2 << 30),
            cpus: section.decimal("cpus").unwrap_or(2.0),
            pids: section.number("pids").unwrap_or(1024),
            environment_memory: section.size("environment_memory"),
            environment_cpus: section.decimal("environment_cpus"),
        };
        section.finish();
        read
    }
}

/// `[templates]`: the operator's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates {
    pub overlay: Option<PathBuf>,
}

impl Templates {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let read = Self { overlay: section.path("overlay") };
        section.finish();
        read
    }
}
