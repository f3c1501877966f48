//! `drey serve`: from nothing to a daemon, and back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;

use super::clock::SystemClock;
use super::configuration;
use super::engine;
use super::figures::FiguresHandle;
use super::lock::DataDirLock;
use super::log::LogControl;
use super::mirrors;
use super::provider;
use super::reload::Running;
use super::repositories;
use super::signals::Signals;
use super::sockets::Sockets;
use super::upkeep;
use super::wiring::{self, Folders, ProxyPorts, Wired};
use crate::adapters::logs::FileAccessLog;
use crate::adapters::process::life;
use crate::config::Settings;
use crate::orchestrator::{House, Orchestrator};
use crate::ports::{Clock, traffic};
use crate::proxy::{HttpProber, Proxy};
use crate::store::Store;
use crate::supervisor::{DRAIN_LIMIT, Supervisor, descriptors};
use crate::web::Web;

/// Runs the daemon until SIGTERM or SIGINT. Returns whether nothing broke on the way.
///
/// # Errors
/// When it cannot start: each says what to do.
pub async fn serve(settings: Settings, sockets: Sockets, log: LogControl) -> anyhow::Result<bool> {
    // Before anything that could take long: a signal that nobody listens to ends the process on the spot.
    let mut signals = Signals::listen()?;
    let descriptors = descriptors::raise();
    let data_dir = settings.data_dir.clone();
    make_private(&data_dir)?;
    let _lock = DataDirLock::take(&data_dir)?;
    begin_life(&data_dir);
    Folders::new(&data_dir).create()?;
    let figures = FiguresHandle::install(&data_dir)?;
    let supervisor = Supervisor::new();
    let mut running = start((settings, sockets), log, &figures, &supervisor).await?;
    tell_start(&running.settings, descriptors);
    let changed = watch_store(&running.settings, &supervisor);
    while signals.ask_to_go_on(&changed).await {
        running.reload().await;
    }
    // Visitors get their grace beside what running steps may take.
    let limit = DRAIN_LIMIT + running.settings.proxy.timeouts.drain;
    end(&supervisor, &mut signals, limit).await;
    running.close().await;
    std::fs::remove_file(data_dir.join("drey.sock")).ok();
    tracing::info!("drey has ended");
    // What was cut is taken up by the next start, and a visitor may stay as long as they like: neither is a fault.
    Ok(supervisor.panics() == 0)
}

/// Told when the configuration changed where it lies, in a store that tells of it.
fn watch_store(settings: &Settings, supervisor: &Supervisor) -> Arc<Notify> {
    let changed = Arc::new(Notify::new());
    if let Some(store) = settings.store.clone() {
        let (told, draining) = (changed.clone(), supervisor.draining());
        supervisor.spawn("configuration store", async move {
            tokio::select! {
                () = draining.cancelled() => {}
                () = configuration::watch(store, &told) => {}
            }
        });
    }
    changed
}

fn tell_start(settings: &Settings, descriptors: u64) {
    tracing::info!(
        http = %settings.http.listen,
        domain = settings.proxy.domain,
        descriptors,
        version = env!("CARGO_PKG_VERSION"),
        "drey serves"
    );
}

/// Until nothing runs and nobody is answered any more; a second signal cuts what is left.
async fn end(supervisor: &Supervisor, signals: &mut Signals, limit: Duration) {
    tracing::info!("drey ends: running steps may finish");
    tokio::select! {
        _ = supervisor.finish(limit) => {}
        () = signals.ask_to_end() => {
            tracing::warn!("a second signal: what still runs is cut");
            supervisor.finish(Duration::ZERO).await;
        }
    }
}

async fn start(
    (settings, sockets): (Settings, Sockets),
    log: LogControl,
    figures: &FiguresHandle,
    supervisor: &Supervisor,
) -> anyhow::Result<Running> {
    let data_dir = &settings.data_dir;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    repositories::hide_secrets(&settings, &log.redactor());
    let store = open_store(data_dir).await?;
    let listener = api_socket(&settings, sockets.api)
        .await
        .with_context(|| format!("http.listen: {} cannot be listened on", settings.http.listen))?;
    let access_log = access_log(data_dir, &log, supervisor);
    let (faces, facing) = (supervisor.faces(), wiring::proxy(&settings, &access_log));
    let proxy = Proxy::on(facing, sockets.proxy, &faces, clock.clone()).await;
    let proxy = proxy.map_err(|error| provider::explained(&settings, error))?;
    proxy.set_tls_rules(&wiring::tls_rules(&settings))?;
    let proxy = Arc::new(proxy);
    engine::spawn_bridge(&settings, supervisor)?;
    let outward = provider::start(&settings, store.instance(), (&proxy, &clock), &faces)?;
    let (prober, frames) = (Arc::new(HttpProber::new()?), outward.frames);
    let (routes, visitors, provider) = (outward.routes, outward.visitors, outward.provider);
    let proxy_ports = ProxyPorts { access_log, routes, visitors, provider, prober };
    let git = Arc::new(wiring::git(&settings)?);
    let outside = (clock, log.redactor());
    let Wired { ports, volumes } =
        wiring::ports(&settings, store.instance(), proxy_ports, git.clone(), outside.clone())?;
    let house = House::new(store, ports, wiring::orchestrator(&settings, &outside)?, supervisor.clone());
    let orchestrator = Orchestrator::new(house);
    orchestrator.start().await?;
    upkeep::spawn(orchestrator.house(), &git);
    mirrors::spawn(orchestrator.house(), &git);
    upkeep::spawn_doorkeeper(&orchestrator, &proxy);
    upkeep::spawn_sweep(orchestrator.house(), volumes);
    upkeep::spawn_orphans(&orchestrator, data_dir);
    upkeep::spawn_figures(orchestrator.house(), figures.clone());
    let (served, shown, of_branches) = (repositories::served(&settings), figures.clone(), proxy.clone());
    let render = move |with_branches: bool| {
        let of_branches = if with_branches { traffic::render(&of_branches.traffic()) } else { String::new() };
        shown.render() + &of_branches
    };
    let web = Web::new(orchestrator.clone(), served, data_dir.clone(), Box::new(render));
    web.serve_tcp(listener);
    web.serve_socket(socket(&data_dir.join("drey.sock"))?);
    Ok(Running { settings, orchestrator, web, proxy, frames, log })
}

async fn api_socket(
    settings: &Settings,
    passed: Option<std::net::TcpListener>,
) -> std::io::Result<TcpListener> {
    match passed {
        None => TcpListener::bind(settings.http.listen).await,
        Some(socket) => socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)),
    }
}

/// The log of what visitors ask for; written as long as there are any.
fn access_log(data_dir: &Path, log: &LogControl, supervisor: &Supervisor) -> Arc<FileAccessLog> {
    let (access_log, writer) = FileAccessLog::new(Folders::new(data_dir).environments, log.redactor());
    let (faces, ending) = (supervisor.faces(), supervisor.faces().draining());
    faces.spawn("access log", async move { writer.run(ending.cancelled()).await });
    Arc::new(access_log)
}

async fn open_store(data_dir: &Path) -> anyhow::Result<Store> {
    let store = Store::open(&data_dir.join("drey.db")).await?;
    if let Err(error) = store.reserve().await {
        tracing::warn!(%error, "the database keeps no room for the time when its disk is full");
    }
    Ok(store)
}

fn make_private(data_dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("data_dir: {} cannot be made", data_dir.display()))?;
    std::fs::set_permissions(data_dir, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("data_dir: {} is not ours", data_dir.display()))
}

/// Before anything else: what a former life began may still be at it.
fn begin_life(data_dir: &Path) {
    let ended = life::begin(data_dir);
    if ended > 0 {
        tracing::info!(ended, "processes that a former life left are ended");
    }
}

/// A socket that only its owner may open; one that a former life left is replaced.
fn socket(path: &Path) -> anyhow::Result<UnixListener> {
    std::fs::remove_file(path).ok();
    // The data directory is 0700: nobody gets in between the bind and the change of the mode.
    let listener = UnixListener::bind(path).with_context(|| format!("{}: cannot be made", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
