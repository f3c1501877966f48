//! The dashboard as a person uses it, in a real browser: from a page of the gate to the log, and from an archive back to a
//! branch.

use std::net::SocketAddr;
use std::sync::Arc;

use drey::domain::dashboard::{Origin, Place};
use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use drey::ports::RoutePublisher;
use drey::proxy::{HoldSettings, Proxy, ProxySettings, TlsSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::access::Doors;
use crate::chromium::Chromium;
use crate::harness::{TestHouse, branch, document, in_house, repo};

/// What a branch may write; whoever follows it would change the title.
const HOSTILE: &str = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> \
                       web: exited with code 3";
const HOSTILE_BRANCH: &str = "fix/<img/src=x/onerror=document.title='owned'>";

/// A gate before the house, which links to its dashboard.
async fn gate(house: &TestHouse, doors: &Doors) -> Proxy {
    let settings = ProxySettings {
        https: None,
        http: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        domain: "qa.example".into(),
        tls: TlsSettings::LocalCa { directory: house.folder.path().join("tls") },
        dashboard_url: Origin::of_url(&dashboard(doors)),
        hold: HoldSettings::default(),
        robots: Default::default(),
        bounds: Default::default(),
        access_log: None,
    };
    Proxy::bind(settings, &house.supervisor.faces(), Arc::new(house.world.clone())).await.unwrap()
}

fn dashboard(doors: &Doors) -> String {
    format!("http://127.0.0.1:{}", doors.port)
}

/// A page of somebody else, which sends a form to the dashboard as soon as it is opened; on the same machine, so that the
/// cookie goes along.
async fn forger(house: &TestHouse, action: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let page = format!(
        "<form method=post action=\"{action}\"><input name=key value=guessed></form><script>document.forms[0].submit()</script>"
    );
    let faces = house.supervisor.faces();
    let draining = faces.draining();
    faces.spawn("forger", async move {
        while let Some(Ok((mut stream, _))) = draining.run_until_cancelled(listener.accept()).await {
            let mut head = [0; 4096];
            stream.read(&mut head).await.unwrap_or_default();
            let length = page.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_why_a_branch_failed_and_brings_back_an_archived_one() {
    in_house(|house| async move {
        house.begin().await;
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: true }).await;
        let ended = house.reaches("feature/x", Phase::Archived).await;
        house.world.with(|inside| inside.up_fails = Some(HOSTILE.into()));
        house.commit('c', HOSTILE_BRANCH, &['a'], document());
        house.push(HOSTILE_BRANCH).await;
        let failed = house.reaches(HOSTILE_BRANCH, Phase::Failed).await;
        house.world.with(|inside| inside.up_fails = None);

        let doors = Doors::open(&house).await;
        let gate = gate(&house, &doors).await;
        gate.publish(house.world.with(|inside| inside.table.clone()));
        let port = gate.http_address().unwrap().port();
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Chromium::open(profile.path()).await;

        browser.go(&format!("http://{}.qa.example:{port}/", failed.slug)).await;
        browser.photograph("gate-failed").await;
        browser.click("The whole log").await;
        browser.arrives("/signin").await;
        browser.photograph("signin").await;
        browser.says("document.querySelector('#token').value = 'drey_wrong'").await;
        browser.click("Sign in").await;
        browser.until("document.body.innerText.includes('No good token')").await;
        browser.photograph("signin-refused").await;
        let token = doors.token("developer").await;
        browser.says(&format!("document.querySelector('#token').value = '{token}'")).await;
        browser.click("Sign in").await;
        let log = Place::Log(repo(), branch(HOSTILE_BRANCH)).path();
        browser.arrives(&log).await;
        let text = browser.text().await;
        assert!(text.contains("failed") && text.contains("web: exited with code 3"), "{text}");
        assert!(text.contains(HOSTILE_BRANCH) && text.contains("<script>"), "as text: {text}");
        assert_eq!(browser.says("document.querySelectorAll('img, script').length").await, 0);
        assert_ne!(browser.says("document.title").await, "owned");
        assert_eq!(browser.says("document.cookie").await, "", "no script sees the session");
        browser.photograph("log").await;

        browser.go(&format!("http://{}.qa.example:{port}/", ended.slug)).await;
        browser.photograph("gate-archived").await;
        browser.click("Sign in to restore it").await;
        let archive = Place::Archive(ended.archive_id()).path();
        browser.arrives(&archive).await;
        browser.photograph("archive").await;

        let action = format!("{}{archive}/restore", dashboard(&doors));
        browser.go(&forger(&house, &action).await).await;
        browser.until("document.body.innerText.includes('did not come from here')").await;
        browser.photograph("forged").await;
        house.reaches("feature/x", Phase::Archived).await;

        browser.go(&format!("{}{archive}", dashboard(&doors))).await;
        browser.click("Restore").await;
        browser.arrives(&Place::Log(repo(), branch("feature/x")).path()).await;
        let restored = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(restored.restored.unwrap().archive, ended.archive_id());
        browser.until("document.querySelector('h1').textContent === 'ready'").await;
        browser.go(&dashboard(&doors)).await;
        browser.photograph("home").await;
        browser.click("Sign out").await;
        browser.arrives("/signin").await;
        browser.go(&format!("{}{archive}", dashboard(&doors))).await;
        browser.arrives("/signin").await;
    })
    .await;
}
