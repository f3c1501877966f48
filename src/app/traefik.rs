//! What Traefik is told besides the routes, and the file for those who let it watch one.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Repository, RepositoryTls, Settings, TlsVersion};
use crate::domain::traefik::{Frame, Policy};
use crate::orchestrator::Orchestrator;
use crate::web::Web;

/// Changes within this time are written once.
const TOGETHER: Duration = Duration::from_millis(100);
/// Pause before a file that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// None where it is not known how Traefik reaches the gate.
pub(super) fn frame(settings: &Settings) -> Option<Frame> {
    let (proxy, told) = (&settings.proxy, &settings.proxy.traefik);
    let plain = proxy.http.filter(|_| proxy.https.is_none());
    let here = plain.map(|mut address| {
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{address}")
    });
    Some(Frame {
        domain: proxy.domain.clone(),
        syntax: told.syntax,
        gate: told.gate.clone().or(here)?,
        entry_points: told.entry_points.clone(),
        redirected: told.redirected.clone(),
        https_port: told.https_port,
        tls: told.tls,
        resolver: told.resolver.clone(),
        direct: told.direct,
        tells_keys: false,
        hsts: proxy.hsts,
        robots_by_app: proxy.robots_by_app,
        policies: settings.repositories.iter().filter_map(policy).collect(),
    })
}

/// An authority that cannot be read lets nobody in.
fn policy(repository: &Repository) -> Option<(String, Policy)> {
    if repository.tls == RepositoryTls::default() {
        return None;
    }
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file).unwrap_or_else(|error| {
            tracing::error!(%error, file = %file.display(), "client_ca cannot be read: Traefik is told nobody's");
            String::new()
        })
    };
    let policy = Policy {
        newest_only: repository.tls.min_version == TlsVersion::Tls13,
        client_authority: repository.tls.client_ca.as_ref().map(read),
    };
    Some((repository.name.to_string(), policy))
}

/// Keeps the file as the routes are. It has keys of client certificates: only its owner may read it.
pub(super) fn spawn_file(orchestrator: &Orchestrator, web: &Web, file: PathBuf) {
    let (mut changes, web) = (orchestrator.watch_routes(), web.clone());
    let supervisor = &orchestrator.house().supervisor;
    let draining = supervisor.draining();
    let mut written: Option<Vec<u8>> = None;
    supervisor.spawn("traefik file", async move {
        changes.mark_changed();
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            tokio::time::sleep(TOGETHER).await;
            let Some(document) = web.traefik(true) else { continue };
            let bytes = format!("{document:#}\n").into_bytes();
            if written.as_ref() == Some(&bytes) {
                continue;
            }
            match replace(&file, &bytes) {
                Ok(()) => written = Some(bytes),
                Err(error) => {
                    tracing::error!(%error, file = %file.display(), "proxy.traefik.file cannot be written: it stays");
                    tokio::select! {
                        () = draining.cancelled() => return,
                        () = tokio::time::sleep(AGAIN) => changes.mark_changed(),
                    }
                }
            }
        }
    });
}

/// Whoever watches it sees the old file or the new one, whole.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    let mut options = std::fs::File::options();
    let mut open = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    std::fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(proxy: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.toml");
        let text = format!("data_dir = \"/tmp\"\n[proxy]\ndomain = \"qa.example\"\n{proxy}");
        std::fs::write(&file, text).unwrap();
        Settings::from_parts(Some(&file), &[]).unwrap()
    }

    #[test]
    fn the_gate_is_where_plain_http_is_passed_on() {
        let gate = |proxy: &str| frame(&settings(proxy)).map(|frame| frame.gate);
        assert_eq!(gate("http = \"0.0.0.0:8480\"").as_deref(), Some("http://127.0.0.1:8480"));
        assert_eq!(gate("http = \"[::1]:8480\"").as_deref(), Some("http://[::1]:8480"));
        let both = "http = \"127.0.0.1:80\"\nhttps = \"127.0.0.1:443\"\n";
        assert_eq!(gate(both), None, "there it is redirected");
        let given = format!("{both}[proxy.traefik]\ngate = \"http://10.0.0.1:80\"");
        assert_eq!(gate(&given).as_deref(), Some("http://10.0.0.1:80"));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.json");
        for text in ["one", "two"] {
            replace(&file, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
