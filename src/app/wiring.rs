//! From the configuration to parts that work together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::discovery;
use super::engine;
use super::forges::{self, Outside};
use super::rules::ConfiguredRules;
use super::visitors;
use crate::adapters::archive::{ArchiveAdapter, LocalVolumes};
use crate::adapters::cgroups::EngineCgroups;
use crate::adapters::compose::{ComposeCli, ComposeSettings};
use crate::adapters::dns::DnsHook;
use crate::adapters::docker::{
    BuildxBuilder, BuildxSettings, DockerEngine, DockerSettings, DockerVolumes, DockerWatch,
    RegistryCredential,
};
use crate::adapters::firewall::{Nftables, NoFirewall};
use crate::adapters::git::{GitAdapter, GitLimits, GitSettings};
use crate::adapters::logs::{FileAccessLog, FileLogs};
use crate::adapters::process::Children;
use crate::adapters::room::{EnvironmentFolders, LocalDisks};
use crate::adapters::vault::AgeVault;
use crate::adapters::workspace::DiskWorkspace;
use crate::config::{AcmeChallenge, Repository, Settings, TlsMode};
use crate::domain::names::{InstanceId, RepoName};
use crate::domain::policy::Permissions;
use crate::domain::rewrite::EnvironmentLimits;
use crate::domain::visitors::Access;
use crate::domain::{leftovers, places, rest, retention, walls};
use crate::orchestrator::{self, AddressSettings, Limits, Ports};
use crate::ports::{
    AccessLog, Clock, DnsRecords, Firewall, ForgeApi, Prober, Provider, Redactor, Remote, RoutePublisher,
    TreeLimits, Visitors, Volumes,
};
use crate::proxy::{Bounds, HoldSettings, ProxySettings, Robots, TlsRules, TlsSettings};

/// Folders below the data directory; all of them drey's own.
pub(super) struct Folders {
    pub(super) environments: PathBuf,
    mirrors: PathBuf,
    archives: PathBuf,
    empty: PathBuf,
    builder: PathBuf,
    pub(super) tls: PathBuf,
}

impl Folders {
    pub(super) fn new(data_dir: &Path) -> Self {
        let folder = |name: &str| data_dir.join(name);
        Self {
            environments: folder("environments"),
            mirrors: folder("mirrors"),
            archives: folder("archives"),
            empty: folder("empty"),
            builder: folder("builder"),
            tls: folder("tls"),
        }
    }

    pub(super) fn create(&self) -> anyhow::Result<()> {
        for folder in
            [&self.environments, &self.mirrors, &self.archives, &self.empty, &self.builder, &self.tls]
        {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{}: cannot be made", folder.display()))?;
        }
        Ok(())
    }
}

/// What the proxy provides.
pub(super) struct ProxyPorts {
    pub(super) access_log: Arc<dyn AccessLog>,
    pub(super) routes: Arc<dyn RoutePublisher>,
    pub(super) visitors: Arc<dyn Visitors>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) prober: Arc<dyn Prober>,
}

/// What is made from the configuration.
pub(super) struct Wired {
    pub(super) ports: Ports,
    /// What reads and fills volumes for the archives.
    pub(super) volumes: Arc<dyn Volumes>,
}

pub(super) fn ports(
    settings: &Settings,
    instance: &InstanceId,
    proxy: ProxyPorts,
    git: Arc<GitAdapter>,
    (clock, redactor): (Arc<dyn Clock>, Arc<Redactor>),
) -> anyhow::Result<Wired> {
    let folders = Folders::new(&settings.data_dir);
    let engine = Arc::new(engine(settings));
    let volumes = Arc::new(DockerVolumes::new(engine.clone(), instance.clone()));
    let copied: Arc<dyn Volumes> = match settings.archive.direct {
        true => Arc::new(LocalVolumes::new(volumes.clone())),
        false => volumes.clone(),
    };
    let limit = settings.archive.max_volume;
    let archives = ArchiveAdapter::open(folders.archives, clock.clone(), (copied, engine.clone()), limit)?;
    let ports = Ports {
        watch: Arc::new(DockerWatch::new(engine.clone(), instance.clone())),
        confinements: engine.clone(),
        catalogue: engine.clone(),
        outsiders: engine.clone(),
        power: engine.clone(),
        jobs: engine.clone(),
        stacks: Arc::new(compose(settings)?),
        builder: Arc::new(builder(settings, engine.clone())),
        commits: git.clone(),
        changes: git.clone(),
        ancestry: git.clone(),
        git,
        workspace: Arc::new(DiskWorkspace::new(folders.environments.clone())),
        archives: Arc::new(archives),
        routes: proxy.routes,
        access_log: proxy.access_log,
        visitors: proxy.visitors,
        provider: proxy.provider,
        prober: proxy.prober,
        disks: Arc::new(LocalDisks::new(settings.data_dir.clone(), engine.clone(), &settings.engine.host)),
        stock: engine.clone(),
        folders: Arc::new(EnvironmentFolders::new(folders.environments.clone(), clock.clone())),
        programs: Arc::new(Children),
        firewall: firewall(settings, instance),
        cgroups: Arc::new(EngineCgroups::new(engine.clone(), instance.clone(), &settings.engine.host)),
        engine,
        logs: Arc::new(FileLogs::new(folders.environments, clock.clone(), redactor.clone())),
        vault: Arc::new(AgeVault::new(&settings.data_dir, &settings.secrets.folder, instance)),
        redactor,
        clock,
    };
    Ok(Wired { ports, volumes })
}

fn firewall(settings: &Settings, instance: &InstanceId) -> Arc<dyn Firewall> {
    match settings.engine.host.starts_with("unix://") {
        true => Arc::new(Nftables::new(instance)),
        false => Arc::new(NoFirewall),
    }
}

pub(super) fn engine(settings: &Settings) -> DockerEngine {
    DockerEngine::new(DockerSettings {
        host: settings.engine.host.clone(),
        reach: engine::reach(settings),
        registries: credentials(settings),
    })
}

pub(super) fn compose(settings: &Settings) -> anyhow::Result<ComposeCli> {
    Ok(ComposeCli::new(ComposeSettings {
        engine_host: engine::for_tools(settings),
        drey: Some(own_executable()?),
        home: engine::home(),
        empty_folder: Folders::new(&settings.data_dir).empty,
        overlay: settings.templates.overlay.clone(),
    }))
}

pub(super) fn builder(settings: &Settings, engine: Arc<DockerEngine>) -> BuildxBuilder {
    let settings = BuildxSettings {
        engine_host: engine::for_tools(settings),
        home: engine::home(),
        registries: credentials(settings),
        work_folder: Folders::new(&settings.data_dir).builder,
    };
    BuildxBuilder::new(settings, engine)
}

pub(super) fn git(settings: &Settings) -> anyhow::Result<GitAdapter> {
    Ok(GitAdapter::new(GitSettings {
        mirrors: Folders::new(&settings.data_dir).mirrors,
        allow_file: true,
        drey: Some(own_executable()?),
        ssh_directory: engine::home().map(|home| home.join(".ssh")).filter(|folder| folder.is_dir()),
        limits: GitLimits {
            fetch_bytes: settings.limits.fetch_bytes,
            memory: settings.limits.git_memory,
            ..GitLimits::default()
        },
    }))
}

fn credentials(settings: &Settings) -> Vec<RegistryCredential> {
    let credential = |given: &crate::config::RegistryCredential| RegistryCredential {
        host: given.host.clone(),
        user: given.user.clone(),
        password: given.password.reveal().to_owned(),
    };
    settings.registries.iter().map(credential).collect()
}

/// Not by its name: an upgrade may replace the file while the daemon runs, which goes on with what it was started from.
fn own_executable() -> anyhow::Result<PathBuf> {
    let itself = PathBuf::from("/proc/self/exe");
    std::fs::metadata(&itself).with_context(|| {
        format!("{}: drey cannot find its own executable, which it needs for the jail", itself.display())
    })?;
    Ok(itself)
}

pub(super) fn proxy(settings: &Settings, access_log: &Arc<FileAccessLog>) -> ProxySettings {
    let tls = match &settings.proxy.tls {
        TlsMode::LocalCa => TlsSettings::LocalCa { directory: Folders::new(&settings.data_dir).tls },
        TlsMode::Files(files) => TlsSettings::Files(files.clone()),
        TlsMode::Acme(acme) => TlsSettings::Acme {
            directory: Folders::new(&settings.data_dir).tls,
            acme: acme.clone(),
            records: (acme.challenge == AcmeChallenge::Dns01).then(|| hook(&acme.hook)),
        },
    };
    let (https, http) = settings.proxy.own_listeners();
    ProxySettings {
        https,
        http,
        domain: settings.proxy.domain.clone(),
        tls,
        dashboard_url: super::dashboard::address(settings),
        access_log: settings.proxy.access_log.then(|| access_log.clone() as Arc<dyn AccessLog>),
        hold: HoldSettings {
            time: settings.proxy.gate.hold,
            requests: settings.proxy.gate.held,
            of_environment: settings.proxy.gate.held_per_environment,
        },
        robots: if settings.proxy.robots_by_app { Robots::App } else { Robots::Deny },
        bounds: bounds(settings),
    }
}

/// What of the proxy may change while it runs.
pub(super) fn bounds(settings: &Settings) -> Bounds {
    let (timeouts, limits) = (&settings.proxy.timeouts, &settings.proxy.limits);
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Bounds {
        header: timeouts.header,
        idle: timeouts.idle,
        connect: timeouts.connect,
        upstream: timeouts.upstream,
        drain: timeouts.drain,
        connections: limits.connections.map(number),
        connections_per_address: limits.connections_per_address.map(number),
        streams: limits.streams,
        header_bytes: limits.header_size,
        trusted_proxies: settings.proxy.believed(),
    }
}

/// What of TLS is taken up by a running proxy.
pub(super) fn tls_rules(settings: &Settings) -> TlsRules {
    let of = |repository: &Repository| (repository.name.clone(), repository.tls.clone());
    TlsRules { repositories: settings.repositories.iter().map(of).collect(), hsts: settings.proxy.hsts }
}

fn hook(command: &[String]) -> Arc<dyn DnsRecords> {
    Arc::new(DnsHook::new(command.to_vec()))
}

/// The configuration in the orchestrator's words.
///
/// # Errors
/// When a repository's `allow` or `engine.registries` has something that is not known, or a key of an App cannot be read.
pub(super) fn orchestrator(settings: &Settings, outside: &Outside) -> anyhow::Result<orchestrator::Settings> {
    let limits = &settings.limits;
    let key = visitors::key(&settings.data_dir)?;
    let repositories = settings.repositories.iter().map(|repository| {
        let permissions = permissions(settings, repository)?;
        let forge = forges::connect(repository, outside)?;
        let access = visitors::access(settings, repository, key);
        Ok((repository.name.clone(), Arc::new(configured(repository, permissions, forge, access))))
    });
    Ok(orchestrator::Settings {
        address: address(settings),
        subnets: settings.engine.subnets.clone(),
        walls: walls::Rules {
            mode: settings.engine.firewall,
            denied: settings.engine.deny.clone(),
            walled_in: settings.engine.wall_in.clone(),
            proxy_ports: [settings.proxy.https, settings.proxy.http]
                .iter()
                .flatten()
                .map(SocketAddr::port)
                .collect(),
            host_ports: settings.engine.host_ports.clone(),
        },
        limits: Limits {
            builds: usize::try_from(limits.builds).unwrap_or(usize::MAX),
            build_memory: limits.build_memory.unwrap_or_else(half_of_the_memory),
            build_time: limits.build_time,
            checkout: TreeLimits {
                bytes: limits.checkout_bytes,
                files: limits.checkout_files,
                file_bytes: limits.checkout_file_bytes,
            },
            memory_bytes: limits.memory,
            cpus: limits.cpus,
            pids: limits.pids,
            environment: EnvironmentLimits {
                memory_bytes: limits.environment_memory,
                cpus: limits.environment_cpus,
            },
            wakes_per_hour: limits.wakes_per_hour.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        },
        places: places(settings),
        retention: retention::Rules {
            keep: settings.archive.keep,
            max_bytes: settings.archive.max_size,
            image_bytes: settings.archive.image_budget,
        },
        watermarks: settings.disk,
        leftovers: leftovers::Rules {
            build_cache: settings.gc.build_cache,
            build_cache_unused: settings.gc.build_cache_unused,
            logs_keep: settings.gc.logs_keep,
            logs_size: settings.gc.logs_size,
            deliveries_keep: settings.gc.deliveries_keep,
            mirrors_keep: settings.gc.mirrors_keep,
        },
        collect_every: settings.gc.every,
        archive_images: settings.archive.images,
        discovery: discovery::rules(settings),
        repositories: repositories.collect::<anyhow::Result<BTreeMap<RepoName, _>>>()?,
    })
}

/// In bytes; 2 GiB where the machine does not tell.
fn half_of_the_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = told
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    total.map_or(2 << 30, |kib: u64| kib * 1024 / 2)
}

fn places(settings: &Settings) -> places::Rules {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let cap = |repository: &Repository| Some((repository.name.clone(), number(repository.environments?)));
    places::Rules {
        total: settings.limits.environments.map(number),
        per_repository: settings.repositories.iter().filter_map(cap).collect(),
        when_full: settings.limits.when_full,
    }
}

pub(super) fn permissions(settings: &Settings, repository: &Repository) -> anyhow::Result<Permissions> {
    Permissions::new(&repository.allow, &settings.engine.registries)
        .with_context(|| format!("repository {}: allow, or engine.registries", repository.name))
}

pub(super) fn address(settings: &Settings) -> AddressSettings {
    let (proto, address, usual) = match (settings.proxy.https, settings.proxy.http) {
        (Some(https), _) => ("https", Some(https), 443),
        (None, http) => ("http", http, 80),
    };
    AddressSettings {
        domain: settings.proxy.domain.clone(),
        proto: proto.to_owned(),
        port: address.map(|address| address.port()).filter(|port| *port != usual),
    }
}

fn configured(
    repository: &Repository,
    permissions: Permissions,
    forge: Option<Arc<dyn ForgeApi>>,
    access: Access,
) -> orchestrator::Repository {
    orchestrator::Repository {
        remote: Remote { repo: repository.name.clone(), url: repository.url.clone() },
        main: repository.main.clone(),
        files: repository.compose.clone(),
        starter: repository.stack.clone(),
        profiles: repository.profiles.clone(),
        variables: repository.env.clone(),
        merge_grace: repository.defaults.merge_grace,
        rest: rest::Rules {
            sleep: repository.defaults.sleep,
            sleep_after: Some(repository.defaults.sleep_after),
            expire_after: Some(repository.defaults.expire_after),
        },
        poll_every: repository.defaults.poll_every,
        superseded: repository.defaults.superseded,
        permissions,
        builder: repository.builder.clone(),
        branches: Arc::new(ConfiguredRules(repository.clone())),
        pulls: repository.pulls.clone(),
        paths: repository.paths.clone(),
        subject: repository.subject,
        forge,
        access,
    }
}
