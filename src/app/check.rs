//! `drey check`: what is there, what is missing, what to do.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::Arc;

use super::check_secrets;
use super::finding::Findings;
use super::leftovers::Leftovers;
use super::scratch::Scratch;
use super::wiring;
use super::{check_daemon, check_tls, check_walls};
use crate::adapters::process::{Command, jail};
use crate::adapters::room::LocalDisks;
use crate::config::{Fault, Settings};
use crate::domain::disk::{self, Disks};
use crate::ports::{Disks as _, Engine, Git, PortError, Remote};

pub use super::finding::{Finding, Level};

/// Looks at everything once. Changes nothing. `faults` are those of the configuration: what they are about is not
/// looked at, everything else is.
pub async fn check(settings: &Settings, faults: &[Fault]) -> Vec<Finding> {
    let mut findings = Findings::default();
    configuration(settings, faults, &mut findings);
    let faulty = |prefix: &str| faults.iter().any(|fault| fault.key.starts_with(prefix));
    if !faulty("engine.host") {
        findings.result(
            "engine",
            wiring::engine(settings).ping().await,
            "is dockerd running? see [engine] host",
        );
    }
    match Scratch::create() {
        Ok(scratch) => programs(settings, scratch.path(), &mut findings).await,
        Err(error) => {
            findings.add(Level::Fail, "disk", format!("a temporary folder cannot be made: {error}"));
        }
    }
    if !faulty("engine") {
        subnets(settings, &mut findings).await;
        check_walls::firewall(settings, &mut findings).await;
        check_walls::cgroups(settings, &mut findings).await;
    }
    jail_status(&mut findings);
    if !faulty("secrets") {
        check_secrets::secrets(&settings.secrets.folder, &mut findings);
    }
    if !settings.proxy.domain.is_empty() {
        names(settings, &mut findings);
    }
    if !faulty("proxy.tls") && !faulty("proxy.https") {
        check_tls::tls(settings, &mut findings);
    }
    if !faulty("data_dir") {
        disk(settings, &mut findings).await;
    }
    if !faulty("data_dir") && !faulty("archive") {
        archives(settings, &mut findings);
    }
    if !faulty("data_dir") {
        check_daemon::database(settings, &mut findings).await;
        check_daemon::daemon(settings, &mut findings).await;
        leftovers(settings, &mut findings);
    }
    findings.into_vec()
}

fn configuration(settings: &Settings, faults: &[Fault], findings: &mut Findings) {
    for fault in faults {
        findings.add(Level::Fail, "configuration", fault.to_string());
    }
    if faults.is_empty() {
        let store = settings.store.as_ref().map(|store| store.address.clone());
        let file = settings.file.as_ref().map(|file| file.display().to_string()).or(store);
        let file = file.unwrap_or_else(|| "no file".to_owned());
        let message = format!("{file}, {} repositories", settings.repositories.len());
        findings.add(Level::Ok, "configuration", message);
    }
}

/// What is asked of programs that want a folder: here they get one that goes away.
async fn programs(settings: &Settings, folder: &Path, findings: &mut Findings) {
    let settings = &Settings { data_dir: folder.to_owned(), ..settings.clone() };
    match wiring::compose(settings) {
        Ok(compose) => findings.result("compose", compose.version().await, ""),
        Err(error) => findings.add(Level::Fail, "compose", error.to_string()),
    }
    findings.result(
        "buildx",
        wiring::builder(settings, Arc::new(wiring::engine(settings))).version().await,
        "",
    );
    let git = Command::new("git").arg("--version").run().await;
    let git = git.map(|output| output.text().trim().trim_start_matches("git version ").to_owned());
    findings.result("git", git, "install git");
    std::fs::create_dir(folder.join("mirrors")).ok();
    repositories(settings, findings).await;
}

async fn subnets(settings: &Settings, findings: &mut Findings) {
    use crate::domain::subnet::Subnet;
    let pool = &settings.engine.subnets;
    let Ok(wanted) = Subnet::parse_pool(pool) else { return };
    let taken = match wiring::engine(settings).host_subnets().await {
        Ok(taken) => taken,
        Err(error) => {
            let message = format!("{pool}: whether other networks are in it cannot be told: {error}");
            findings.add(Level::Warn, "subnets", message);
            return;
        }
    };
    let clash: Vec<&String> =
        taken.iter().filter(|other| Subnet::parse(other).is_ok_and(|other| wanted.overlaps(other))).collect();
    if clash.is_empty() {
        findings.add(Level::Ok, "subnets", format!("{pool}: no other network of the engine is in it"));
    } else {
        let message =
            format!("{pool}: {} networks of the engine are in it; they are gone around", clash.len());
        findings.add(Level::Ok, "subnets", message);
    }
}

async fn repositories(settings: &Settings, findings: &mut Findings) {
    // One without a good address has its fault already.
    for repository in settings.repositories.iter().filter(|repository| !repository.url.is_empty()) {
        let what = format!("repository {}", repository.name);
        let remote = Remote { repo: repository.name.clone(), url: repository.url.clone() };
        let branches = match wiring::git(settings) {
            Ok(git) => git.branches(&remote).await,
            Err(error) => Err(PortError::Permanent(error.to_string())),
        };
        match branches {
            Ok(branches) if branches.contains_key(&repository.main) => {
                findings.add(Level::Ok, &what, format!("{} branches", branches.len()));
            }
            Ok(_) => findings.add(
                Level::Warn,
                &what,
                format!("has no branch {} yet ([[repo]] main)", repository.main),
            ),
            Err(error) => findings.add(Level::Fail, &what, format!("{error}; see [[repo]] url")),
        }
        if repository.secret.is_none() {
            let message = "no secret: every delivery is refused; set [[repo]] secret or secret_file";
            findings.add(Level::Warn, &what, message);
        }
    }
}

fn jail_status(findings: &mut Findings) {
    match jail::landlock_status() {
        Ok(status) => findings.add(Level::Ok, "jail", status),
        Err(status) => findings.add(Level::Warn, "jail", status),
    }
}

fn names(settings: &Settings, findings: &mut Findings) {
    let domain = &settings.proxy.domain;
    let host = format!("drey-check.{domain}");
    if domain == "localhost" || domain.ends_with(".localhost") {
        findings.add(Level::Ok, "dns", format!("*.{domain} is this machine, for browsers"));
    } else if (host.as_str(), 443).to_socket_addrs().is_ok_and(|mut found| found.next().is_some()) {
        findings.add(Level::Ok, "dns", format!("*.{domain} resolves"));
    } else {
        let message =
            format!("*.{domain} does not resolve here; add a wildcard name that points to this machine");
        findings.add(Level::Warn, "dns", message);
    }
}

/// Of each disk that matters; the words are those of the daemon's log.
async fn disk(settings: &Settings, findings: &mut Findings) {
    let engine = Arc::new(wiring::engine(settings));
    let there = settings.data_dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let disks = LocalDisks::new(there.to_owned(), engine, &settings.engine.host).measure().await;
    if !disks.iter().any(|disk| disk.has_data) {
        findings.add(Level::Warn, "disk", format!("{}: cannot be measured", there.display()));
    }
    let measured = Disks::default().measured(disks, settings.disk);
    for (disk, level) in &measured.disks {
        let free = format!("{} GB free", disk.free_bytes / 1_000_000_000);
        match level {
            disk::Level::Ok => findings.add(Level::Ok, "disk", format!("{disk}, {free}")),
            disk::Level::Warn => {
                findings.add(Level::Warn, "disk", format!("{disk}, {free}: make room ([disk] warn)"));
            }
            disk::Level::Stop | disk::Level::Evict => {
                let message = format!("{disk}, {free}: nothing is built until there is room ([disk] stop)");
                findings.add(Level::Fail, "disk", message);
            }
        }
    }
}

/// The daemon keeps to `max_size` by itself, each hour: what is larger for longer may not be removed.
fn archives(settings: &Settings, findings: &mut Findings) {
    let files = std::fs::read_dir(settings.data_dir.join("archives")).into_iter().flatten().flatten();
    let sizes: Vec<u64> = files
        .filter(|file| file.file_name().to_string_lossy().ends_with(".tar.zst"))
        .filter_map(|file| file.metadata().ok().filter(std::fs::Metadata::is_file))
        .map(|facts| facts.len())
        .collect();
    let sum = sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
    let found = format!("{} archives, {} MB", sizes.len(), sum / 1_000_000);
    match settings.archive.max_size {
        Some(most) if sum > most => {
            let message = format!(
                "{found}, more than [archive] max_size ({} MB): if it stays so for an hour, those that are left are \
                 pinned or in use; unpin or remove some (drey archive list), or raise it",
                most / 1_000_000
            );
            findings.add(Level::Warn, "archives", message);
        }
        Some(_) | None => findings.add(Level::Ok, "archives", found),
    }
}

/// What a daemon saw on the engine and left alone, because it is not surely drey's.
fn leftovers(settings: &Settings, findings: &mut Findings) {
    let Some(found) = Leftovers::read(&settings.data_dir) else { return };
    if found.lines.is_empty() {
        findings.add(Level::Ok, "leftovers", "the engine has nothing that only may be drey's");
    }
    for line in &found.lines {
        let message = format!("{line} (seen {}; if nobody needs it, remove it with docker)", found.seen_at);
        findings.add(Level::Warn, "leftovers", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn faults_are_told_and_the_rest_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.toml");
        let text = "data_dir = \"state\"\nsurprise = 1\n[engine]\nhost = \"unix:///nonexistent\"\n[proxy]\n\
                    domain = \"qa.localhost\"\nhttps = 443\n";
        std::fs::write(&file, text).unwrap();
        let (settings, faults) = Settings::examine(Some(&file));
        let findings = check(&settings, &faults).await;
        let level = |what: &str| {
            let of = findings.iter().filter(|finding| finding.what == what);
            of.map(|finding| finding.level).collect::<Vec<_>>()
        };
        assert_eq!(level("configuration"), [Level::Fail, Level::Fail]);
        assert_eq!(level("engine"), [Level::Fail]);
        assert_eq!(level("subnets"), [Level::Warn]);
        assert_eq!(level("cgroups"), [Level::Warn]);
        assert_eq!(level("git"), [Level::Ok]);
        assert_eq!(level("dns"), [Level::Ok]);
        assert_eq!(level("tls"), []);
        assert_eq!(level("archives"), [Level::Ok]);
        assert_eq!((level("database"), level("clock")), (vec![Level::Ok], vec![Level::Ok]));
        assert_eq!(level("daemon"), [Level::Warn]);
        assert!(!folder.path().join("state").exists());
    }

    #[test]
    fn what_was_left_alone_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::examine(None).0 };
        let found = || {
            let mut findings = Findings::default();
            leftovers(&settings, &mut findings);
            findings.into_vec().into_iter().map(|it| (it.level, it.message)).collect::<Vec<_>>()
        };
        assert_eq!(found(), []);
        let seen_at = crate::domain::time::Timestamp::from_millis(0);
        Leftovers { seen_at, lines: Vec::new() }.write(folder.path()).unwrap();
        assert_eq!(found()[0].0, Level::Ok);
        Leftovers { seen_at, lines: vec!["volume x: why".to_owned()] }.write(folder.path()).unwrap();
        assert!(
            found()[0].0 == Level::Warn && found()[0].1.starts_with("volume x: why (seen 1970"),
            "{:?}",
            found()
        );
    }

    #[test]
    fn archives_that_are_too_much_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.toml");
        let text = "data_dir = \"state\"\n[archive]\nmax_size = \"10B\"\n[proxy]\ndomain = \"qa.localhost\"\n\
                    http = \"127.0.0.1:80\"\n";
        std::fs::write(&file, text).unwrap();
        let settings = Settings::examine(Some(&file)).0;
        let folder = folder.path().join("state/archives");
        std::fs::create_dir_all(&folder).unwrap();
        let found = || {
            let mut findings = Findings::default();
            archives(&settings, &mut findings);
            findings.into_vec().remove(0).level
        };
        std::fs::write(folder.join("a-1-1.tar.zst"), "ten bytes.").unwrap();
        std::fs::write(folder.join("a-2-1.tar.zst.unfinished"), "ten bytes.").unwrap();
        assert_eq!(found(), Level::Ok);
        std::fs::write(folder.join("a-3-1.tar.zst"), "x").unwrap();
        assert_eq!(found(), Level::Warn);
    }
}
