//! What goes wrong: the old configuration serves on, the reason is told, and it recovers by itself.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use drey::domain::provider::ProviderState;
use drey::domain::route::{Answer, Scheme, Upstream};
use drey::ports::Provider;

use crate::backend::Backend;
use crate::front::{Front, Kind, eventually};
use crate::routes::{Line, host, table, to};
use crate::visitor::get;

async fn says(front: &Front, slug: &str, word: &str) -> bool {
    get(front, &host(slug)).await.is_ok_and(|(status, text)| status == 200 && text.contains(word))
}

/// A route that a proxy refuses: its authority is no certificate.
fn refused(backend: &Backend) -> Answer {
    let tls = drey::domain::backend::BackendTls {
        authority: Some("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n".to_owned()),
        server_name: Some("app.internal".to_owned()),
        verify: true,
        identity: None,
    };
    let upstream = Upstream::new(backend.address, Scheme::Https, "container");
    Answer::Proxy(Upstream { tls: Some(Arc::new(tls)), ..upstream })
}

async fn a_refused_environment_is_put_aside_and_no_other(kind: Kind) {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let front = Front::running(kind, table(&[("a", 1, to(&one))])).await;
    let mut lines: Vec<Line<'_>> = vec![("a", 1, to(&two)), ("b", 2, refused(&one)), ("c", 3, to(&one))];
    front.tell(table(&lines));
    eventually("the bad one is named", async || !front.status().quarantined.is_empty()).await;
    let status = front.status();
    assert_eq!(status.state, ProviderState::Serving, "{status:?}");
    let names: Vec<&str> = status.quarantined.iter().map(|bad| bad.environment.as_str()).collect();
    assert_eq!(names, ["shop/b"]);
    assert!(!status.quarantined[0].reason.is_empty());
    assert!(says(&front, "a", "two").await && says(&front, "c", "one").await);
    // The gate answers for it.
    assert!(get(&front, &host("b")).await.unwrap().0 >= 500);
    lines[1] = ("b", 2, to(&one));
    front.tell(table(&lines));
    eventually("it is good again", async || front.status().quarantined.is_empty()).await;
    front.serves_newest().await;
    assert!(says(&front, "b", "one").await);
}

/// The route that changed, while nothing can be written. `HAProxy` was told by its socket, and Caddy leaves all to the gate.
const fn still(kind: Kind) -> &'static str {
    match kind {
        Kind::Nginx => "one",
        Kind::Haproxy | Kind::Caddy => "two",
    }
}

async fn a_wrong_template_is_told_with_file_and_line(kind: Kind) {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let front = Front::running(kind, table(&[("a", 1, to(&one))])).await;
    let file = front.folder.path().join("templates").join(front.template());
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "first\n{{ nobody_gave_this }}\n").unwrap();
    front.tell(table(&[("a", 1, to(&two))]));
    let told = format!("{}:2: ", file.display());
    eventually("the template's fault is told", async || front.is_failing(&told)).await;
    assert_eq!(front.status().state, ProviderState::Failing);
    assert!(says(&front, "a", still(kind)).await, "the old one serves on");
    // One that renders, and that the proxy refuses.
    std::fs::write(&file, "this is no configuration\n").unwrap();
    eventually("the refusal is told", async || front.is_failing("refuses the configuration")).await;
    assert!(says(&front, "a", still(kind)).await, "the old one serves on");
    std::fs::remove_file(&file).unwrap();
    eventually("the newest routes are in force", async || says(&front, "a", "two").await).await;
    front.serves_newest().await;
}

async fn a_proxy_that_is_away_gets_the_newest_when_it_comes(kind: Kind) {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let mut front = Front::running(kind, table(&[("a", 1, to(&one))])).await;
    front.stop();
    front.tell(table(&[("a", 1, to(&two))]));
    // It leads nobody anywhere: what ends need not be kept for it as long as for one that does not listen.
    tokio::time::timeout(Duration::from_secs(8), front.shown.settle()).await.unwrap();
    eventually("it is told that it is away", async || front.is_failing("does not run")).await;
    front.start();
    front.serves_newest().await;
    assert!(says(&front, "a", "two").await);
}

/// A file system with little room.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("drey-providers-").tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k,mode=0755", "none"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "a small disk needs root");
        Self(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

async fn a_full_disk_costs_nobody_the_old_routes(kind: Kind) {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let small = Small::new();
    let folder = tempfile::Builder::new().prefix("drey-providers-").tempdir().unwrap();
    let mut front = Front::at(kind, folder, small.0.path().join("proxy")).await;
    front.tell(table(&[("a", 1, to(&one))]));
    front.is_written().await;
    front.start();
    front.serves_newest().await;
    let filler = small.0.path().join("filler");
    Command::new("dd")
        .args(["if=/dev/zero", "bs=1k", "status=none"])
        .arg(format!("of={}", filler.display()))
        .status()
        .ok();
    front.tell(table(&[("a", 1, to(&two))]));
    eventually("the full disk is told", async || front.is_failing("No space left")).await;
    assert!(says(&front, "a", still(kind)).await, "the old one serves on");
    std::fs::remove_file(&filler).unwrap();
    front.serves_newest().await;
    assert!(says(&front, "a", "two").await);
    front.stop();
}

macro_rules! for_each_proxy {
    ($kind:expr, $name:ident) => {
        mod $name {
            use crate::front::Kind;

            #[tokio::test(flavor = "multi_thread")]
            async fn a_refused_environment_is_put_aside_and_no_other() {
                super::a_refused_environment_is_put_aside_and_no_other($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_wrong_template_is_told_with_file_and_line() {
                super::a_wrong_template_is_told_with_file_and_line($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_proxy_that_is_away_gets_the_newest_when_it_comes() {
                super::a_proxy_that_is_away_gets_the_newest_when_it_comes($kind).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_full_disk_costs_nobody_the_old_routes() {
                super::a_full_disk_costs_nobody_the_old_routes($kind).await;
            }
        }
    };
}

for_each_proxy!(Kind::Nginx, nginx);
for_each_proxy!(Kind::Haproxy, haproxy);

/// Its configuration names no branch: none can be refused, and none makes it write.
mod caddy {
    use crate::front::Kind;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_template_is_told_with_file_and_line() {
        super::a_wrong_template_is_told_with_file_and_line(Kind::Caddy).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_proxy_that_is_away_gets_the_newest_when_it_comes() {
        super::a_proxy_that_is_away_gets_the_newest_when_it_comes(Kind::Caddy).await;
    }
}
