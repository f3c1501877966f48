//! Certificates of a real authority: Pebble, which is what Let's Encrypt gives to those who write clients.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test may fail loudly")]
#![expect(clippy::disallowed_methods, reason = "the test's own programs")]

mod authority;
mod house;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drey::config::{AccountBinding, Acme, AcmeChallenge, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use authority::Authority;
use house::{Drey, MovedClock};

/// Longest wait for anything.
const LONGEST: Duration = Duration::from_secs(40);

/// Asks until there is an answer.
async fn eventually<T>(what: &str, check: impl AsyncFn() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let Ok(found) = tokio::time::timeout(LONGEST, asked).await else {
        panic!("not within {LONGEST:?}: {what}")
    };
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_gets_a_certificate_by_http_and_keeps_it_over_a_restart() {
    let (authority, folder, clock) = place(&[]).await;
    let acme = authority.settings(AcmeChallenge::Http01);
    let drey = Drey::start(&authority, acme.clone(), folder.path(), &clock).await;
    drey.publish(&["x", "y--api"]);
    let root = authority.root();
    let first = drey.eventually_shown("x.qa.example", &root).await;
    drey.eventually_shown("y--api.qa.example", &root).await;
    assert!(drey.shown("other.qa.example", &root).await.is_err());
    drey.shown("other.qa.example", &drey.local_root()).await.unwrap();
    assert_eq!(ask(authority.http, "/.well-known/acme-challenge/none").await, "404");
    assert_eq!(ask(authority.http, "/").await, "308");
    only_ours(folder.path());
    drey.end().await;

    let drey = Drey::start(&authority, acme, folder.path(), &clock).await;
    drey.publish(&["x", "y--api", "z"]);
    assert_eq!(drey.shown("x.qa.example", &root).await.unwrap(), first);
    drey.eventually_shown("z.qa.example", &root).await;
    assert_eq!((drey.shown("x.qa.example", &root).await.unwrap(), drey.orders()), (first, 3));
    drey.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_gets_a_certificate_by_tls() {
    let (authority, folder, clock) = place(&[]).await;
    let acme = authority.settings(AcmeChallenge::TlsAlpn01);
    let drey = Drey::start(&authority, acme, folder.path(), &clock).await;
    drey.publish(&["x"]);
    drey.eventually_shown("x.qa.example", &authority.root()).await;
    drey.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wildcard_by_dns_is_renewed_also_by_an_authority_that_has_forgotten_the_account() {
    let (mut authority, folder, clock) = place(&[]).await;
    let acme = authority.settings(AcmeChallenge::Dns01);
    let drey = Drey::start(&authority, acme, folder.path(), &clock).await;
    let root = authority.root();
    let first = drey.eventually_shown("any.qa.example", &root).await;
    assert_eq!(drey.shown("qa.example", &root).await.unwrap(), first);
    assert_eq!(drey.state().certificates[0].1.names.len(), 2);
    let record = |action: &str| format!("{action} _acme-challenge.qa.example");
    let wanted = [record("present"), record("present"), record("cleanup"), record("cleanup")];
    eventually("the records are taken away", async || (authority.records() == wanted).then_some(())).await;

    drey.proxy.renew_certificate().await.unwrap();
    authority.start_anew().await;
    let root = authority.root();
    let facts = drey.state().certificates.remove(0).1;
    clock.set_ahead(facts.valid_until.since(facts.valid_from) / 4 * 3);
    drey.proxy.renew_certificate().await.unwrap();
    let second = drey.eventually_shown("any.qa.example", &root).await;
    clock.set_ahead(Duration::ZERO);
    assert_ne!(first, second);
    drey.end().await;
}

/// Where strangers may not have an account, it is bound to one that the authority gave out; a wrong key is told.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_to_one_at_the_authority_where_that_wants_it() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::<MovedClock>::default());
    let authority = Authority::start_bound("kid-1", KEY).await;
    let with = |key_id: &str, key: &str| Acme {
        binding: AccountBinding::new(key_id.to_owned(), Secret::new(key.to_owned())),
        ..authority.settings(AcmeChallenge::TlsAlpn01)
    };
    let unbound = authority.settings(AcmeChallenge::TlsAlpn01);
    for (acme, told) in [(unbound, "externalAccountRequired"), (with("kid-1", "c29tZSBvdGhlciBrZXk"), "")] {
        let nowhere = tempfile::tempdir().unwrap();
        let drey = Drey::start(&authority, acme, nowhere.path(), &clock).await;
        drey.publish(&["x"]);
        let reason = drey.eventually_failed().await;
        assert!(reason.contains(told) && !reason.contains(KEY), "{reason}");
        drey.end().await;
    }
    let drey = Drey::start(&authority, with("kid-1", KEY), folder.path(), &clock).await;
    drey.publish(&["x"]);
    drey.eventually_shown("x.qa.example", &authority.root()).await;
    assert_eq!((drey.orders(), drey.state().failures.len()), (1, 0));
    drey.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_that_are_refused_are_replaced() {
    // A quarter: of half of them five tries of three requests each are not always enough.
    let (authority, folder, clock) = place(&[("PEBBLE_WFE_NONCEREJECT", "25")]).await;
    let acme = authority.settings(AcmeChallenge::TlsAlpn01);
    let drey = Drey::start(&authority, acme, folder.path(), &clock).await;
    drey.publish(&["x"]);
    drey.eventually_shown("x.qa.example", &authority.root()).await;
    assert_eq!((drey.orders(), drey.state().failures.len()), (1, 0));
    drey.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_found_ours_is_tried_again_later_also_after_a_restart() {
    let (authority, folder, clock) = place(&[]).await;
    let acme = authority.settings(AcmeChallenge::Http01);
    // Where the authority does not look.
    let drey = Drey::start_at((0, authority.https), acme.clone(), folder.path(), &clock).await;
    drey.publish(&["x"]);
    let reason = drey.eventually_failed().await;
    assert!(reason.contains("x.qa.example") && reason.contains("connection"), "{reason}");
    drey.shown("x.qa.example", &drey.local_root()).await.unwrap();
    drey.end().await;

    let root = authority.root();
    let drey = Drey::start(&authority, acme, folder.path(), &clock).await;
    drey.publish(&["x", "y"]);
    // One that is ordered after it: so it had its turn, and was passed over.
    drey.eventually_shown("y.qa.example", &root).await;
    assert_eq!(drey.orders(), 2);
    assert!(drey.shown("x.qa.example", &root).await.is_err());
    clock.set_ahead(Duration::from_secs(301));
    drey.proxy.renew_certificate().await.unwrap();
    drey.eventually_shown("x.qa.example", &root).await;
    assert!(drey.state().failures.is_empty());
    drey.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_has_a_budget_and_whoever_is_asked_for_comes_first() {
    let (authority, folder, clock) = place(&[]).await;
    let acme = Acme { orders_per_hour: 2, ..authority.settings(AcmeChallenge::TlsAlpn01) };
    let drey = Drey::start(&authority, acme, folder.path(), &clock).await;
    drey.shown("c.qa.example", &drey.local_root()).await.unwrap();
    drey.publish(&["a", "b", "c"]);
    let root = authority.root();
    drey.eventually_shown("a.qa.example", &root).await;
    drey.shown("c.qa.example", &root).await.unwrap();
    drey.proxy.renew_certificate().await.unwrap();
    drey.shown("b.qa.example", &drey.local_root()).await.unwrap();
    clock.set_ahead(Duration::from_secs(3601));
    drey.proxy.renew_certificate().await.unwrap();
    drey.eventually_shown("b.qa.example", &root).await;
    drey.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_is_told_and_so_is_an_authority_that_is_not_there() {
    let (authority, folder, clock) = place(&[]).await;
    let mut acme = authority.settings(AcmeChallenge::Dns01);
    acme.hook = vec!["/bin/sh".into(), "-c".into(), "echo no such zone >&2; exit 1".into()];
    let drey = Drey::start(&authority, acme, folder.path(), &clock).await;
    let reason = drey.eventually_failed().await;
    assert!(reason.contains("no such zone"), "{reason}");
    drey.end().await;

    let nowhere = tempfile::tempdir().unwrap();
    let acme =
        Acme { directory: "https://localhost:1/dir".into(), ..authority.settings(AcmeChallenge::TlsAlpn01) };
    let drey = Drey::start(&authority, acme, nowhere.path(), &clock).await;
    drey.publish(&["x"]);
    let reason = drey.eventually_failed().await;
    assert!(reason.starts_with("https://localhost:1/dir: "), "{reason}");
    drey.end().await;
}

async fn place(settings: &[(&str, &str)]) -> (Authority, tempfile::TempDir, Arc<MovedClock>) {
    (Authority::start(settings).await, tempfile::tempdir().unwrap(), Arc::default())
}

/// The status of an answer in plain HTTP, to a host that nobody knows.
async fn ask(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: nobody.example\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

/// Keys, the account's too, are for nobody else.
fn only_ours(folder: &Path) {
    let mut files = 0;
    for entry in folder.join("acme").read_dir().unwrap().flatten() {
        let inside = entry.path().read_dir().unwrap().flatten();
        let certificates = entry.path().join("certificates").read_dir().unwrap().flatten();
        // One that is just being written has another name.
        let is_whole = |file: &std::fs::DirEntry| !file.file_name().to_string_lossy().ends_with(".new");
        for file in inside.chain(certificates).filter(is_whole) {
            let mode = file.metadata().unwrap().permissions().mode();
            let is_file = file.metadata().unwrap().is_file();
            assert_eq!(mode & 0o777, if is_file { 0o600 } else { 0o700 }, "{}", file.path().display());
            files += usize::from(is_file);
        }
    }
    assert_eq!(files, 4);
}
