//! A real proxy in front of drey's gate, driven as the daemon drives it.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use drey::adapters::routes::{
    Actor, AllVisitors, Applier, Apply, CADDY_FILE, Caddy, CaddySettings, Certificate, Disk, Frame,
    HAPROXY_FILE, Haproxy, HaproxySettings, HostProcess, NGINX_FILE, NGINX_INCLUDED, Nginx, NginxSettings,
    Pace, Passing, Publisher, Shown, Status,
};
use drey::domain::network::Network;
use drey::domain::route::RouteTable;
use drey::domain::time::Timestamp;
use drey::ports::{Clock, Provider, RoutePublisher};
use drey::proxy::{self, Bounds, HoldSettings, Proxy, ProxySettings, Robots, TlsSettings};
use drey::supervisor::Supervisor;
use tokio::sync::watch;

use crate::included;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const DOMAIN: &str = "qa.localhost";

struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let real = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        Timestamp::from_millis(i64::try_from(real).unwrap())
    }
}

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    /// An nginx of the team's own that includes what drey writes.
    Included,
    Haproxy,
    Caddy,
}

pub(crate) struct Front {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) gate: Arc<Proxy>,
    pub(crate) visitors: AllVisitors,
    pub(crate) disk: Disk,
    kind: Kind,
    publisher: Publisher,
    pub(crate) shown: Shown,
    supervisor: Supervisor,
    frames: watch::Sender<Arc<Frame>>,
    process: Option<Child>,
}

impl Front {
    /// Without any route yet, and without a proxy that runs.
    pub(crate) async fn new(kind: Kind) -> Self {
        let folder = tempfile::Builder::new().prefix("drey-providers-").tempdir().unwrap();
        let root = folder.path().join("proxy");
        Self::at(kind, folder, root).await
    }

    /// The same with the proxy's files in this folder.
    pub(crate) async fn at(kind: Kind, folder: tempfile::TempDir, root: PathBuf) -> Self {
        let (https, http, confirm) = (free(), free(), free());
        let supervisor = Supervisor::new();
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let gate =
            Arc::new(Proxy::bind(gate_settings(folder.path()), &supervisor, clock.clone()).await.unwrap());
        let frame = frame(folder.path(), (https, http), gate.http_address().unwrap());
        let (frames, seen) = watch::channel(Arc::new(frame));
        let disk = Disk::new(root);
        let proxy = driven(kind, &disk, confirm, folder.path());
        let (publisher, tables) = Publisher::new(gate.clone());
        let status = Status::new("test");
        let pace =
            Pace { again: Duration::from_millis(200), look: Duration::from_millis(500), ..Pace::default() };
        let (of_actor, of_status, of_clock) = (proxy.clone(), status.clone(), clock.clone());
        let actor = Actor {
            tables: tables.clone(),
            frames: seen.clone(),
            proxy: of_actor,
            status: of_status,
            clock: of_clock,
            pace,
        };
        supervisor.spawn("provider", actor.run(supervisor.draining()));
        let passing = Arc::new(Passing::new(tables.clone(), clock));
        let (watching, socket, ending) =
            (passing.clone(), disk.run().join("visits.sock"), supervisor.draining());
        supervisor.spawn("passing", async move { watching.watch(Some(&socket), ending).await });
        let visitors = AllVisitors { gate: gate.clone(), passing };
        let shown = Shown { tables, frames: seen, proxy, status };
        Self {
            folder,
            https,
            http,
            gate,
            visitors,
            disk,
            kind,
            publisher,
            shown,
            supervisor,
            frames,
            process: None,
        }
    }

    /// With these routes in force and the proxy running.
    pub(crate) async fn running(kind: Kind, table: RouteTable) -> Self {
        let mut front = Self::new(kind).await;
        front.tell(table);
        front.is_written().await;
        front.start();
        front.serves_newest().await;
        front
    }

    pub(crate) fn tell(&self, table: RouteTable) {
        self.publisher.publish(table);
    }

    pub(crate) fn reframe(&self, change: impl Fn(&mut Frame)) {
        self.frames.send_modify(|frame| change(Arc::make_mut(frame)));
    }

    pub(crate) fn status(&self) -> drey::domain::provider::ProviderStatus {
        self.shown.status()
    }

    pub(crate) fn is_failing(&self, word: &str) -> bool {
        self.status().error.is_some_and(|error| error.contains(word))
    }

    pub(crate) async fn rendered(&self) -> String {
        let files = self.shown.render().await.unwrap();
        files.into_iter().map(|file| file.content).collect()
    }

    pub(crate) async fn is_written(&self) {
        eventually("a configuration is written", async || {
            let error = self.status().error.unwrap_or_default();
            assert!(!error.contains("refuses the configuration"), "{error}");
            self.disk.current().join(self.file()).exists()
        })
        .await;
    }

    /// Waits until what `render` shows is in force.
    pub(crate) async fn serves_newest(&self) {
        eventually("the newest routes are in force", async || {
            let wanted = self.rendered().await;
            let status = self.status();
            status.error.is_none() && status.generation.is_some_and(|mark| wanted.contains(&mark))
        })
        .await;
    }

    const fn file(&self) -> &'static str {
        match self.kind {
            Kind::Nginx => NGINX_FILE,
            Kind::Included => NGINX_INCLUDED,
            Kind::Haproxy => HAPROXY_FILE,
            Kind::Caddy => CADDY_FILE,
        }
    }

    /// The name of the template for the proxy's own file.
    pub(crate) fn template(&self) -> String {
        let file = if self.kind == Kind::Included { NGINX_FILE } else { self.file() };
        format!("{file}.tera")
    }

    /// As the operator's service manager does.
    pub(crate) fn start(&mut self) {
        let file = self.disk.current().join(self.file());
        let mut command = match self.kind {
            Kind::Nginx => {
                let mut command = Command::new("nginx");
                command.args(["-g", "daemon off;", "-c"]).arg(file);
                command
            }
            Kind::Included => {
                let mut command = Command::new("nginx");
                command.args(["-g", "daemon off;", "-c"]).arg(included::main(self.folder.path()));
                command
            }
            Kind::Caddy => {
                let mut command = Command::new("caddy");
                command.args(["run", "--config"]).arg(file);
                command
            }
            Kind::Haproxy => {
                let mut command = Command::new("haproxy");
                command.args(["-W", "-f"]).arg(file);
                command
            }
        };
        let log = std::fs::File::create(self.folder.path().join("proxy.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.process = Some(command.spawn().unwrap());
    }

    /// At once, with all its workers.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let group = format!("-{}", process.id());
        Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
        process.wait().unwrap();
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("tls/ca.pem")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop();
        self.supervisor.draining().cancel();
    }
}

fn driven(kind: Kind, disk: &Disk, confirm: SocketAddr, folder: &Path) -> Arc<dyn Apply> {
    match kind {
        Kind::Nginx => {
            let place = HostProcess {
                program: "nginx".to_owned(),
                pid_file: disk.run().join("nginx.pid"),
                start: "nginx".to_owned(),
            };
            let settings = NginxSettings {
                user: is_root().then(|| "root".to_owned()),
                confirm,
                templates: Some(folder.join("templates")),
                visits: Some(disk.run().join("visits.sock")),
                include: None,
            };
            let driver = Nginx::new(Arc::new(place), disk.clone(), settings);
            Arc::new(Applier::new(Arc::new(driver), disk.clone()))
        }
        Kind::Included => {
            let main = included::main(folder);
            included::write(folder, disk, "");
            let place = HostProcess {
                program: "nginx".to_owned(),
                pid_file: included::pid(folder),
                start: "nginx".to_owned(),
            };
            let settings = NginxSettings {
                user: None,
                confirm,
                templates: Some(folder.join("templates")),
                visits: Some(disk.run().join("visits.sock")),
                include: Some(main),
            };
            let driver = Nginx::new(Arc::new(place), disk.clone(), settings);
            Arc::new(Applier::new(Arc::new(driver), disk.clone()))
        }
        Kind::Caddy => {
            let place = HostProcess {
                program: "caddy".to_owned(),
                pid_file: disk.run().join("caddy.pid"),
                start: "caddy".to_owned(),
            };
            let settings = CaddySettings {
                admin: free().to_string(),
                confirm,
                templates: Some(folder.join("templates")),
            };
            let driver = Caddy::new(Arc::new(place), disk.clone(), settings);
            Arc::new(Applier::new(Arc::new(driver), disk.clone()))
        }
        Kind::Haproxy => {
            let place = HostProcess {
                program: "haproxy".to_owned(),
                pid_file: disk.run().join("haproxy.pid"),
                start: "haproxy".to_owned(),
            };
            let settings = HaproxySettings {
                user: None,
                templates: Some(folder.join("templates")),
                visits: Some(disk.run().join("visits.sock")),
            };
            let driver = Haproxy::new(Arc::new(place), disk.clone(), settings);
            Arc::new(Applier::new(Arc::new(driver), disk.clone()))
        }
    }
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

fn gate_settings(folder: &Path) -> ProxySettings {
    let trusted = vec![Network::parse("127.0.0.0/8").unwrap()];
    ProxySettings {
        https: None,
        http: Some("127.0.0.1:0".parse().unwrap()),
        domain: DOMAIN.to_owned(),
        tls: TlsSettings::LocalCa { directory: folder.join("tls") },
        dashboard_url: None,
        hold: HoldSettings::default(),
        robots: Robots::Deny,
        access_log: None,
        bounds: Bounds { trusted_proxies: trusted, ..Bounds::default() },
    }
}

fn frame(folder: &Path, (https, http): (SocketAddr, SocketAddr), gate: SocketAddr) -> Frame {
    let (files, authority) = proxy::local_certificate(&folder.join("tls"), DOMAIN, RealClock.now()).unwrap();
    let certificate = Certificate {
        names: vec![format!("*.{DOMAIN}")],
        chain: std::fs::read(files.certificate).unwrap(),
        key: std::fs::read(files.key).unwrap(),
    };
    Frame {
        domain: DOMAIN.to_owned(),
        https: Some(https),
        http: Some(http),
        gate,
        direct: true,
        certificates: vec![certificate],
        policies: Default::default(),
        authority: Some(std::fs::read_to_string(authority).unwrap()),
        hsts: None,
        sleepers: Default::default(),
        robots_by_app: false,
        trusted: Vec::new(),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(3),
        upstream_timeout: None,
    }
}

pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) async fn eventually(what: &str, check: impl AsyncFn() -> bool) {
    let begin = std::time::Instant::now();
    while !check().await {
        assert!(begin.elapsed() < LIMIT, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
