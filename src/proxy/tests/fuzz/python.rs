//! Conversations between a client and a container of another make, with compressed messages and without.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::*;

/// The distribution's own: it has the package that `script/bootstrap --tests` installs.
#[expect(clippy::disallowed_methods, reason = "the test's own program, ended with it")]
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/websocket_talk.py")).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// All that a client saw, as it tells it.
async fn talk(port: u16) -> String {
    let told = program(&["talk", &port.to_string(), "x.qa.example"]).output().await.unwrap();
    assert!(told.status.success(), "the client failed; `script/bootstrap --tests` installs what it needs");
    String::from_utf8(told.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_another_make_sees_the_same_as_without_a_proxy() {
    let mut container = program(&["serve"]).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(container.stdout.as_mut().unwrap()).read_line(&mut port).await.unwrap();
    let port: u16 = port.trim().parse().expect("a port; `script/bootstrap --tests` installs what it needs");
    let house = House::new(false).await;
    let upstream = Upstream::new(SocketAddr::from(([127, 0, 0, 1], port)), Scheme::Http, "python");
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let (direct, through) = (talk(port).await, talk(house.proxy.http_address().unwrap().port()).await);
    assert!(direct.contains("PerMessageDeflate") && direct.contains("4999"), "{direct}");
    assert!(through == direct, "{through}\ninstead of\n{direct}");
}
