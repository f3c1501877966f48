//! What a person sees: the proxy's pages in headless Chromium.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and starts a browser"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use drey::domain::environment::{Outcome, Phase};
use drey::domain::names::{EnvironmentId, Generation};
use drey::domain::route::{Answer, Page, Route, RouteTable};
use drey::domain::time::Timestamp;
use drey::ports::{Clock, RoutePublisher};
use drey::proxy::{HoldSettings, Proxy, ProxySettings, TlsSettings};
use drey::supervisor::Supervisor;

struct Today;
impl Clock for Today {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_780_000_000_000)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_say_where_the_branch_stands_and_run_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ProxySettings {
        https: None,
        http: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        domain: "browser.localhost".into(),
        tls: TlsSettings::LocalCa { directory: folder.path().to_owned() },
        dashboard_url: None,
        hold: HoldSettings::default(),
        robots: Default::default(),
        bounds: Default::default(),
        access_log: None,
    };
    let supervisor = Supervisor::new();
    let proxy = Proxy::bind(settings, &supervisor, Arc::new(Today)).await.unwrap();
    let hostile = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> web: exited with code 3";
    let pages = [
        ("failed", Phase::Failed, Some(hostile), None, "exited with code 3"),
        ("building", Phase::Building, None, None, "shop/"),
        ("archived", Phase::Archived, None, Some(Outcome::Merged), "shop/"),
    ];
    let hosts = pages.iter().map(|(host, phase, reason, outcome, _)| {
        let page =
            Page { phase: *phase, reason: reason.map(str::to_owned), outcome: *outcome, is_tired: false };
        let route = Route {
            environment: EnvironmentId(1),
            generation: Generation(1),
            name: "shop/'onmouseover='alert(1)</title><script>document.title='owned'</script>".into(),
            service: "web".into(),
            paths: Vec::new(),
            access: Default::default(),
            answer: Answer::Page(page),
        };
        (format!("{host}.browser.localhost"), route)
    });
    proxy.publish(RouteTable { hosts: hosts.collect(), ..RouteTable::default() });
    let port = proxy.http_address().unwrap().port();
    let shots = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
    std::fs::create_dir_all(&shots).unwrap();
    for (host, .., text) in pages {
        let url = format!("http://{host}.browser.localhost:{port}/");
        let dom = chromium(&["--dump-dom", &url], folder.path());
        assert!(dom.contains(text), "{host}: {dom}");
        assert!(
            !dom.contains("<title>owned") && !dom.contains("<script>document.title") && !dom.contains("<img"),
            "{host}: {dom}"
        );
        let shot = format!("--screenshot={}", shots.join(format!("{host}.png")).display());
        chromium(&[&shot, "--window-size=900,600", &url], folder.path());
        assert!(std::fs::metadata(shots.join(format!("{host}.png"))).unwrap().len() > 1000);
    }
}

/// A page is there in a second; a browser that hangs is not waited for.
const BROWSER_LIMIT: &str = "60";

fn chromium(arguments: &[&str], profile: &Path) -> String {
    let output = Command::new("timeout")
        .args(["--kill-after=5", BROWSER_LIMIT, "chromium"])
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args(["--disable-component-update", "--disable-sync", "--disable-quic"])
        .arg(format!("--user-data-dir={}", profile.join("profile").display()))
        .args(arguments)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}, after at most {BROWSER_LIMIT} s: {told}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
