//! `drey check`, of what a daemon has and needs for itself: whether it runs, its addresses, its database, the
//! clock.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::check_webhooks;
use super::clock::SystemClock;
use super::finding::{Findings, Level};
use crate::config::Settings;
use crate::domain::text::clean_line;
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::store::{self, StoreError};

/// How long a daemon may take to say how it is.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A clock that is behind by less is nothing to speak of.
const CLOCK_SLACK: Duration = Duration::from_secs(60);
/// Nobody ran this program before: 2026-01-01.
const MADE: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Whether a daemon serves from the data directory, and is well.
pub(super) async fn daemon(settings: &Settings, findings: &mut Findings) {
    let socket = settings.data_dir.join("drey.sock");
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            let message = "does not run; start it with `drey serve` (as a service: `systemctl start drey`)";
            findings.add(Level::Warn, "daemon", message);
            return addresses(settings, findings);
        }
        Err(error) => {
            let message = format!("{}: {error}; ask as the user that drey runs as", socket.display());
            return findings.add(Level::Warn, "daemon", message);
        }
    };
    let (level, message) = match tokio::time::timeout(ANSWER_LIMIT, readiness(stream)).await {
        Ok(Ok((200, _))) => (Level::Ok, "runs and is ready".to_owned()),
        Ok(Ok((_, message))) => (Level::Warn, format!("runs and is not ready: {message}")),
        Ok(Err(error)) => (Level::Fail, format!("its answer broke off: {error}; see its log")),
        Err(_elapsed) => {
            let seconds = ANSWER_LIMIT.as_secs();
            (Level::Fail, format!("runs and does not answer within {seconds} s; see its log"))
        }
    };
    findings.add(level, "daemon", message);
}

/// Status, and what is wrong.
async fn readiness(mut stream: UnixStream) -> std::io::Result<(u16, String)> {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: drey\r\nconnection: close\r\n\r\n").await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("it speaks no HTTP"))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    Ok((status, body["error"]["message"].as_str().unwrap_or_default().to_owned()))
}

/// Only while no daemon has them.
fn addresses(settings: &Settings, findings: &mut Findings) {
    let wanted = [
        ("http.listen", Some(settings.http.listen)),
        ("proxy.https", settings.proxy.https),
        ("proxy.http", settings.proxy.http),
    ];
    for (key, address) in wanted.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        let (level, message) = address_finding(key, address);
        findings.add(level, "addresses", message);
    }
}

fn address_finding(key: &str, address: SocketAddr) -> (Level, String) {
    match TcpListener::bind(address) {
        Ok(_) => (Level::Ok, format!("{key}: {address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let message = "another program listens there; end it or choose another port (systemd with drey.socket \
                           listens for drey: then this is as it should be)";
            (Level::Fail, format!("{key}: {address}: {message}"))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let message = "ports below 1024 need root or CAP_NET_BIND_SERVICE";
            (Level::Warn, format!("{key}: {address}: may not be listened on by this user: {message}"))
        }
        Err(error) => (Level::Fail, format!("{key}: {address}: {error}")),
    }
}

/// The database, and whether the clock is behind what is written in it.
pub(super) async fn database(settings: &Settings, findings: &mut Findings) {
    let path = settings.data_dir.join("drey.db");
    let newest = match store::examine(&path).await {
        Ok(None) => {
            findings.add(Level::Ok, "database", format!("{}: made at the first start", path.display()));
            None
        }
        Ok(Some(examined)) => {
            sound(&path, &examined.faults, findings);
            forges(&examined.untold, findings);
            check_webhooks::webhooks(settings, &examined.heard, findings);
            examined.newest
        }
        Err(error) => {
            unreadable(&path, &error, findings);
            None
        }
    };
    let (level, message) = clock_finding(SystemClock.now(), newest);
    findings.add(level, "clock", message);
}

fn sound(path: &Path, faults: &[String], findings: &mut Findings) {
    let Some(first) = faults.first() else {
        return findings.add(Level::Ok, "database", format!("{}: is sound", path.display()));
    };
    let message = format!(
        "{}: is damaged: {first}; stop drey, keep the file, and put a copy made by `drey backup` in its place",
        path.display()
    );
    findings.add(Level::Fail, "database", message);
}

/// What the forges do not take of what they are told.
fn forges(untold: &[(String, i64, String)], findings: &mut Findings) {
    for (repo, waiting, error) in untold {
        let message =
            format!("{repo}: {waiting} reports wait that the forge did not take: {}", clean_line(error));
        findings.add(Level::Warn, "forges", message);
    }
}

fn unreadable(path: &Path, error: &StoreError, findings: &mut Findings) {
    let may_not = std::fs::File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    if may_not {
        let message = format!("{}: may not be read; ask as the user that drey runs as", path.display());
        findings.add(Level::Warn, "database", message);
    } else {
        findings.add(Level::Fail, "database", format!("{}: cannot be read: {error}", path.display()));
    }
}

fn clock_finding(now: Timestamp, newest: Option<Timestamp>) -> (Level, String) {
    if now < MADE {
        return (Level::Fail, format!("{now}: is wrong; no certificate is valid then: set the clock"));
    }
    match newest.map(|newest| newest.since(now)).filter(|behind| *behind > CLOCK_SLACK) {
        Some(behind) => {
            let seconds = behind.as_secs();
            let message =
                format!("{now}: is {seconds} s behind the newest event; does this machine keep its time?");
            (Level::Warn, message)
        }
        None => (Level::Ok, now.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_clock_that_went_back_is_told() {
        let level = |now, newest| clock_finding(now, newest).0;
        let now = MADE.plus(DAY);
        assert_eq!(level(now, None), Level::Ok);
        assert_eq!(level(now, Some(now.plus(Duration::from_secs(30)))), Level::Ok);
        assert_eq!(level(now, Some(now.plus(DAY))), Level::Warn);
        assert_eq!(level(Timestamp::from_millis(0), None), Level::Fail);
    }

    #[test]
    fn an_address_that_is_taken_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(address_finding("http.listen", address).0, Level::Fail);
        drop(taken);
        assert_eq!(address_finding("http.listen", address).0, Level::Ok);
    }

    #[tokio::test]
    async fn what_a_daemon_says_is_passed_on() {
        let (mut daemon, client) = UnixStream::pair().unwrap();
        let answer =
            "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"error\":{\"message\":\"the engine is away\"}}";
        daemon.write_all(answer.as_bytes()).await.unwrap();
        daemon.shutdown().await.unwrap();
        assert_eq!(readiness(client).await.unwrap(), (503, "the engine is away".to_owned()));
    }
}
