//! The proxy in front: drey's own, or one that drey tells what to do.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use super::wiring::Folders;
use super::{contained, traefik};
use crate::adapters::routes::{
    Actor, AllVisitors, Applier, Apply, CADDY_FILE, Caddy, CaddySettings, Certificate, Container, Disk,
    Driver, Frame, HAPROXY_FILE, Haproxy, HaproxySettings, HostProcess, NGINX_FILE, Nginx, NginxSettings,
    Pace, Passing, Place, Policy, Publisher, Shown, Status,
};
use crate::config::{
    CertificateFiles, NginxInclude, OwnProxy, ProviderKind, Repository, Settings, TlsMode, TlsVersion,
};
use crate::domain::names::InstanceId;
use crate::ports::{Clock, Embedded, Provider, RoutePublisher, Visitors};
use crate::proxy::{self, CertificateFacts, Proxy, ProxyError};
use crate::supervisor::Supervisor;

/// How often certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);
/// The name of what drey hears of requests by.
const VISITS: &str = "visits.sock";

/// What the rest of the house gets of it.
pub(super) struct Outside {
    pub(super) routes: Arc<dyn RoutePublisher>,
    pub(super) visitors: Arc<dyn Visitors>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) frames: Option<Frames>,
}

/// What does not come from branches, as a proxy in front has it.
#[derive(Clone)]
pub(super) struct Frames {
    settings: Arc<Mutex<Settings>>,
    clock: Arc<dyn Clock>,
    newest: Arc<watch::Sender<Arc<Frame>>>,
}

impl Frames {
    /// Of these settings; they count only with [`Frames::take`].
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub(super) fn read(&self, settings: &Settings) -> anyhow::Result<Frame> {
        frame(settings, self.clock.as_ref())
    }

    pub(super) fn take(&self, settings: &Settings, frame: Frame) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings.clone();
        self.put(frame);
    }

    fn put(&self, frame: Frame) {
        self.newest.send_if_modified(|newest| {
            let is_news = **newest != frame;
            if is_news {
                *newest = Arc::new(frame);
            }
            is_news
        });
    }

    /// Looks at the certificates again and again: what was renewed is taken up.
    async fn renew(&self) {
        loop {
            tokio::time::sleep(CERTIFICATES_EVERY).await;
            let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match self.read(&settings) {
                Ok(frame) => self.put(frame),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the certificates cannot be read");
                }
            }
        }
    }
}

/// The parts of a house behind this proxy.
///
/// # Errors
/// When a certificate cannot be read.
pub(super) fn start(
    settings: &Settings,
    instance: &InstanceId,
    (proxy, clock): (&Arc<Proxy>, &Arc<dyn Clock>),
    supervisor: &Supervisor,
) -> anyhow::Result<Outside> {
    let configured = &settings.proxy.provider;
    if !configured.is_outside() {
        let (routes, visitors, provider) = (proxy.clone(), proxy.clone(), Arc::new(Embedded));
        return Ok(Outside { routes, visitors, provider, frames: None });
    }
    let (publisher, tables) = Publisher::new(proxy.clone());
    let frame = frame(settings, clock.as_ref())?;
    let (newest, seen) = watch::channel(Arc::new(frame));
    let frames = Frames {
        settings: Arc::new(Mutex::new(settings.clone())),
        clock: clock.clone(),
        newest: Arc::new(newest),
    };
    let disk = Disk::new(directory(settings));
    let container = contained::container(settings, instance, disk.root());
    let driven = match configured.own() {
        Some(own) => driven(settings, (own, container.clone()), &disk),
        None => traefik::driven(settings, &disk),
    };
    let status = Status::new(configured.kind.word());
    let (pace, draining) = (Pace::default(), supervisor.draining());
    let actor = Actor {
        tables: tables.clone(),
        frames: seen.clone(),
        proxy: driven.clone(),
        status: status.clone(),
        clock: clock.clone(),
        pace,
    };
    supervisor.spawn("provider", actor.run(draining));
    spawn_renewal(&frames, supervisor);
    let passing = Passing::new(tables.clone(), clock.clone());
    let passing = Arc::new(match &container {
        Some(container) => {
            contained::spawn_trust(container, proxy, supervisor);
            passing.beside(container.seat())
        }
        None => passing,
    });
    spawn_watch(&passing, disk.run().join(VISITS), supervisor);
    let visitors = Arc::new(AllVisitors { gate: proxy.clone(), passing });
    let provider = Arc::new(Shown { tables, frames: seen, proxy: driven, status });
    Ok(Outside { routes: Arc::new(publisher), visitors, provider, frames: Some(frames) })
}

fn spawn_renewal(frames: &Frames, supervisor: &Supervisor) {
    let (frames, draining) = (frames.clone(), supervisor.draining());
    supervisor.spawn("frames", async move {
        tokio::select! {
            () = draining.cancelled() => {}
            () = frames.renew() => {}
        }
    });
}

fn spawn_watch(passing: &Arc<Passing>, socket: PathBuf, supervisor: &Supervisor) {
    let (passing, draining) = (passing.clone(), supervisor.draining());
    supervisor.spawn("passing", async move { passing.watch(Some(&socket), draining).await });
}

/// Where the proxy's configuration is: other users than drey's read it.
fn directory(settings: &Settings) -> PathBuf {
    let provider = &settings.proxy.provider;
    let own = provider.own().map_or(&settings.proxy.traefik.directory, |own| &own.directory);
    own.clone().unwrap_or_else(|| {
        let data_dir = std::path::absolute(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone());
        let mut name = data_dir.into_os_string();
        name.push("-proxy");
        PathBuf::from(name).join(provider.kind.word())
    })
}

fn driven(
    settings: &Settings,
    (own, container): (&OwnProxy, Option<Arc<Container>>),
    disk: &Disk,
) -> Arc<dyn Apply> {
    let kind = settings.proxy.provider.kind;
    let (user, templates, visits) = (own.user.clone(), own.templates.clone(), Some(disk.run().join(VISITS)));
    let program = own.binary.clone().unwrap_or_else(|| kind.word().to_owned());
    let place = |pid_file: &str, start: String| -> Arc<dyn Place> {
        if let Some(container) = &container {
            return container.clone();
        }
        let start = format!("{program} {start}");
        Arc::new(HostProcess { program: program.clone(), pid_file: disk.run().join(pid_file), start })
    };
    let confirm = contained::confirm(settings, own.confirm);
    let current = |file: &str| disk.current().join(file).display().to_string();
    let driver: Arc<dyn Driver> = match kind {
        ProviderKind::Haproxy => {
            let place = place("haproxy.pid", format!("-W -f {}", current(HAPROXY_FILE)));
            Arc::new(Haproxy::new(place, disk.clone(), HaproxySettings { user, templates, visits }))
        }
        ProviderKind::Caddy => {
            let place = place("caddy.pid", format!("run --config {}", current(CADDY_FILE)));
            let admin = contained::admin(settings, own.admin, &disk.run());
            let settings = CaddySettings { admin, confirm, templates };
            Arc::new(Caddy::new(place, disk.clone(), settings))
        }
        ProviderKind::Nginx | ProviderKind::Embedded | ProviderKind::Traefik => {
            let include = own.include.as_ref().map(|include| include.main.clone());
            let settings = NginxSettings { user, confirm, templates, visits, include };
            let place: Arc<dyn Place> = match (&own.include, &container) {
                (Some(NginxInclude { main, pid_file }), None) => {
                    let start = format!("{program} -c {}", main.display());
                    Arc::new(HostProcess { program: program.clone(), pid_file: pid_file.clone(), start })
                }
                (Some(_), Some(_)) | (None, _) => place("nginx.pid", format!("-c {}", current(NGINX_FILE))),
            };
            Arc::new(Nginx::new(place, disk.clone(), settings))
        }
    };
    let applier = Applier::new(driver, disk.clone());
    Arc::new(match container {
        Some(container) => applier.on(container),
        None => applier,
    })
}

/// # Errors
/// When a certificate cannot be read, or does not go with its key.
fn frame(settings: &Settings, clock: &dyn Clock) -> anyhow::Result<Frame> {
    let proxy = &settings.proxy;
    let (certificates, authority) = match proxy.https {
        // Traefik has its own.
        Some(_) if proxy.provider.kind != ProviderKind::Traefik => certificates(settings, clock)?,
        Some(_) | None => (Vec::new(), None),
    };
    let policies = settings.repositories.iter().map(|repository| {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| told(path));
        let client_authority = repository.tls.client_ca.as_ref().map(read).transpose();
        let client_authority =
            client_authority.with_context(|| format!("repository {}: tls.client_ca", repository.name))?;
        let newest_only = repository.tls.min_version == TlsVersion::Tls13;
        Ok((repository.name.as_str().to_owned(), Policy { newest_only, client_authority }))
    });
    Ok(Frame {
        domain: proxy.domain.clone(),
        https: proxy.https,
        http: proxy.http,
        gate: proxy.provider.gate_listen,
        direct: proxy.provider.direct,
        sleepers: settings
            .repositories
            .iter()
            .filter(|it| sleeps(it))
            .map(|it| it.name.to_string())
            .collect(),
        certificates,
        policies: policies.collect::<anyhow::Result<_>>()?,
        authority,
        hsts: proxy.hsts,
        robots_by_app: proxy.robots_by_app,
        trusted: proxy.trusted_proxies.iter().map(ToString::to_string).collect(),
        header_timeout: proxy.timeouts.header,
        idle_timeout: proxy.timeouts.idle,
        connect_timeout: proxy.timeouts.connect,
        upstream_timeout: proxy.timeouts.upstream,
    })
}

/// Where nobody comes, unless a stack says otherwise.
fn sleeps(repository: &Repository) -> bool {
    !repository.defaults.sleep_after.is_zero()
}

fn certificates(
    settings: &Settings,
    clock: &dyn Clock,
) -> anyhow::Result<(Vec<Certificate>, Option<String>)> {
    match &settings.proxy.tls {
        TlsMode::Files(files) => Ok((files.iter().map(certificate).collect::<anyhow::Result<_>>()?, None)),
        // Configured with a proxy in front only by a configuration that is refused.
        TlsMode::LocalCa | TlsMode::Acme(_) => {
            let folder = Folders::new(&settings.data_dir).tls;
            let (files, authority) = proxy::local_certificate(&folder, &settings.proxy.domain, clock.now())?;
            let authority = std::fs::read_to_string(&authority).with_context(|| told(&authority))?;
            Ok((vec![certificate(&files)?], Some(authority)))
        }
    }
}

fn certificate(files: &CertificateFiles) -> anyhow::Result<Certificate> {
    let facts = CertificateFacts::read(files)?;
    let read = |path: &Path| std::fs::read(path).with_context(|| told(path));
    Ok(Certificate { names: facts.names, chain: read(&files.certificate)?, key: read(&files.key)? })
}

fn told(path: &Path) -> String {
    format!("{}: cannot be read", path.display())
}

/// With the key that says where the gate listens, where another proxy stands in front of it.
pub(super) fn explained(settings: &Settings, error: ProxyError) -> ProxyError {
    match error {
        ProxyError::Listen { address, reason, .. } if settings.proxy.provider.is_outside() => {
            ProxyError::Listen { key: "proxy.gate_listen", address, reason }
        }
        other @ (ProxyError::Listen { .. }
        | ProxyError::NothingToListenOn
        | ProxyError::Certificate { .. }
        | ProxyError::Tls(_)) => other,
    }
}
