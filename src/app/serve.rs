//! `drey serve`: from nothing to a daemon, and back.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use super::clock::SystemClock;
use super::lock::DataDirLock;
use super::mirrors;
use super::repositories;
use super::upkeep;
use super::wiring::{self, Folders, ProxyPorts, Wired};
use crate::config::Settings;
use crate::domain::names::RepoName;
use crate::orchestrator::{House, Orchestrator};
use crate::ports::Clock;
use crate::proxy::{HttpProber, Proxy};
use crate::store::Store;
use crate::supervisor::{DRAIN_LIMIT, Supervisor, descriptors};
use crate::web::Web;

/// Runs the daemon until SIGTERM or SIGINT. Returns whether nothing broke on the way.
///
/// # Errors
/// When it cannot start: each says what to do.
pub async fn serve(settings: Settings) -> anyhow::Result<bool> {
    let descriptors = descriptors::raise();
    let data_dir = &settings.data_dir;
    make_private(data_dir)?;
    let _lock = DataDirLock::take(data_dir)?;
    Folders::new(data_dir).create()?;
    let supervisor = Supervisor::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_store(data_dir).await?;
    let listener = TcpListener::bind(settings.http.listen)
        .await
        .with_context(|| format!("http.listen: {} cannot be listened on", settings.http.listen))?;
    let proxy = Arc::new(Proxy::bind(wiring::proxy(&settings), &supervisor, clock.clone()).await?);
    let proxy_ports = ProxyPorts { routes: proxy.clone(), prober: Arc::new(HttpProber::new()?) };
    let git = Arc::new(wiring::git(&settings)?);
    let Wired { ports, volumes } =
        wiring::ports(&settings, store.instance(), proxy_ports, git.clone(), clock)?;
    let house = House::new(store.clone(), ports, wiring::orchestrator(&settings)?, supervisor.clone());
    let orchestrator = Orchestrator::new(house);
    orchestrator.start().await?;
    upkeep::spawn(orchestrator.house(), &proxy, &git);
    mirrors::spawn(orchestrator.house(), &git);
    upkeep::spawn_doorkeeper(&orchestrator, &proxy);
    upkeep::spawn_sweep(orchestrator.house(), volumes);
    let web = Web::new(orchestrator, secrets(&settings), shown(&settings), data_dir.clone());
    web.serve_tcp(listener);
    web.serve_socket(socket(&data_dir.join("drey.sock"))?);
    tracing::info!(http = %settings.http.listen, domain = settings.proxy.domain, descriptors, "drey serves");
    until_signal().await?;
    tracing::info!("drey ends: running steps may finish");
    supervisor.finish(DRAIN_LIMIT).await;
    store.supersede_running("the daemon was stopped", SystemClock.now()).await?;
    std::fs::remove_file(data_dir.join("drey.sock")).ok();
    store.close().await;
    // What was cut is taken up by the next start, and a visitor may stay as long as they like: neither is a fault.
    Ok(supervisor.panics() == 0)
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

/// A socket that only its owner may open; one that a former life left is replaced.
fn socket(path: &Path) -> anyhow::Result<UnixListener> {
    std::fs::remove_file(path).ok();
    // The data directory is 0700: nobody gets in between the bind and the change of the mode.
    let listener = UnixListener::bind(path).with_context(|| format!("{}: cannot be made", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn until_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => tracing::warn!("the configuration is read at the start only: restart to reload it"),
        }
    }
}

fn secrets(settings: &Settings) -> BTreeMap<RepoName, Vec<u8>> {
    let secret = |repository: &crate::config::Repository| {
        let secret = repository.secret.as_ref()?;
        Some((repository.name.clone(), secret.reveal().as_bytes().to_vec()))
    };
    settings.repositories.iter().filter_map(secret).collect()
}

/// What the API shows of each repository.
fn shown(settings: &Settings) -> BTreeMap<RepoName, Value> {
    settings
        .repositories
        .iter()
        .map(|repository| (repository.name.clone(), repositories::view(settings, repository)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn repositories_are_as_described() {
        let document: Value = serde_json::from_str(include_str!("../web/openapi.json")).unwrap();
        let properties = document["components"]["schemas"]["Repository"]["properties"].as_object().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.toml");
        let text = "[proxy]\ndomain = \"qa.example\"\nhttps = \"0.0.0.0:443\"\n[[repo]]\nname = \"shop\"\n\
                    url = \"/srv/git/shop.git\"\n";
        std::fs::write(&file, text).unwrap();
        let settings = Settings::from_parts(Some(&file), &[]).unwrap();
        for repository in shown(&settings).values() {
            let keys: BTreeSet<&String> = repository.as_object().unwrap().keys().collect();
            assert_eq!(keys, properties.keys().collect());
        }
    }
}
