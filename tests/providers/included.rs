//! An nginx of the team's own, whose configuration includes what drey writes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use drey::adapters::routes::Disk;
use drey::domain::provider::ProviderState;
use drey::domain::route::RouteTable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::front::{Front, Kind, eventually, free, is_root};
use crate::routes::{host, table, to};
use crate::visitor::get;

pub(crate) fn main(folder: &Path) -> PathBuf {
    folder.join("team.conf")
}

pub(crate) fn pid(folder: &Path) -> PathBuf {
    folder.join("team.pid")
}

/// Where the team's own site is, beside drey's.
fn site_address(folder: &Path) -> SocketAddr {
    let file = folder.join("site.address");
    if !file.exists() {
        std::fs::write(&file, free().to_string()).unwrap();
    }
    std::fs::read_to_string(&file).unwrap().parse().unwrap()
}

/// Writes the team's own configuration, with this in its `http {}` besides a site of its own.
pub(crate) fn write(folder: &Path, disk: &Disk, more: &str) {
    let own = folder.display();
    let user = if is_root() { "user root;" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {own}/temp-{kind};\n"))
        .concat();
    let text = format!(
        "{user}\npid {};\nerror_log {own}/team.log;\nevents {{}}\nhttp {{\n  include {}/drey*.conf;\n\
         {temporary}  access_log off;\n  keepalive_timeout 33s;\n  {more}\n  map $http_upgrade $team_connection {{ default upgrade; }}\n  \
         server {{ listen {}; server_name other.example; location / {{ return 200 \"the site\"; }} }}\n}}\n",
        pid(folder).display(),
        disk.current().display(),
        site_address(folder),
    );
    std::fs::write(main(folder), text).unwrap();
}

/// What the team's own site answers.
async fn site(front: &Front) -> String {
    let mut stream = TcpStream::connect(site_address(front.folder.path())).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nHost: other.example\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn says(front: &Front, slug: &str, word: &str) -> bool {
    get(front, &host(slug)).await.is_ok_and(|(status, text)| status == 200 && text.contains(word))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_teams_own_site_goes_on_and_drey_writes_nothing_that_is_not_its_own() {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let mut front = Front::new(Kind::Included).await;
    // The team's nginx ran before there was anything of drey's.
    front.start();
    let address = site_address(front.folder.path());
    eventually("the site is there", async || TcpStream::connect(address).await.is_ok()).await;
    assert!(site(&front).await.contains("the site"));
    let mut lines = vec![("a", 1, to(&one))];
    for number in 0..5 {
        lines[0] = ("a", 1, to(if number % 2 == 0 { &one } else { &two }));
        front.tell(table(&lines));
        front.serves_newest().await;
        assert!(says(&front, "a", if number % 2 == 0 { "one" } else { "two" }).await);
        assert!(site(&front).await.contains("the site"));
    }
    let written = std::fs::read_to_string(front.disk.current().join("drey.conf")).unwrap();
    for alien in ["events", "user ", "pid ", "worker_", "error_log", "default_server", "temp_path"] {
        assert!(!written.contains(alien), "{alien}: {written}");
    }
    // Plain HTTP of drey's hosts is redirected, by its own server.
    let mut plain = TcpStream::connect(front.http).await.unwrap();
    plain.write_all(format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", host("a")).as_bytes()).await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clash_with_the_teams_own_is_told_and_the_old_one_serves_on() {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let front = Front::running(Kind::Included, table(&[("a", 1, to(&one))])).await;
    let good = front.disk.current_mark();
    write(front.folder.path(), &front.disk, "upstream drey_gate { server 127.0.0.1:1; }");
    front.tell(table(&[("a", 1, to(&two))]));
    eventually("the clash is told", async || front.is_failing("duplicate upstream \"drey_gate\"")).await;
    assert_eq!(front.status().state, ProviderState::Failing);
    assert!(front.status().quarantined.is_empty(), "no branch is to blame");
    assert!(says(&front, "a", "one").await && site(&front).await.contains("the site"));
    assert_eq!(front.disk.current_mark(), good, "who starts nginx anew gets the last good one");
    write(front.folder.path(), &front.disk, "");
    front.serves_newest().await;
    assert!(says(&front, "a", "two").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_one_that_clashes_leaves_nothing_behind() {
    let front = Front::new(Kind::Included).await;
    write(front.folder.path(), &front.disk, "map_hash_max_size 1024;");
    front.tell(RouteTable::default());
    eventually("the clash is told", async || front.is_failing("map_hash_max_size")).await;
    assert!(!front.disk.current().exists(), "the team's nginx can still be started");
}
