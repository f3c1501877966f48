//! A child of a daemon that was killed, which has nothing to say and so does not notice.

use std::path::Path;

use crate::checker::{self, PAGE};
use crate::harness::{REPO, World, run};
use crate::processes;

const SLEEP: &str = "busybox sleep 311";
const SLOW_BUILD: &str = "FROM drey-demo/tiny:1\nRUN exec busybox sleep 311\nCOPY page /www/index.html\n";
const DOCKERFILE: &str = "FROM drey-demo/tiny:1\nCOPY page /www/index.html\n";
const COMPOSE: &str = r#"
services:
  web:
    build: ./web
    command: [serve, "8080", /www]
    expose: [8080]
    stop_signal: SIGKILL
"#;

#[test]
fn a_build_that_outlives_its_daemon_is_ended_by_the_next() {
    let files = [("compose.yaml", COMPOSE), ("web/Dockerfile", DOCKERFILE), (PAGE, "main\n")];
    let mut world = World::new("stray-build", &files);
    world.push("stray-build", &[("web/Dockerfile", SLOW_BUILD)]);
    let builds = || run("ps", &["-eo", "args"], Path::new("/")).lines().any(|line| line == SLEEP);
    world.eventually("the build sleeps", 60, builds);
    // With the last that it has to say still on its way it would notice.
    let log = || world.drey(&["env", "log", &format!("{REPO}/stray-build")]).unwrap_or_default();
    world.eventually("the step is told", 20, || log().contains("RUN exec busybox sleep"));
    world.kill();
    assert!(
        !processes::strays(&world.path("data")).is_empty(),
        "no builder outlives the daemon: this shows nothing"
    );
    // What is wanted now is another thing.
    world.push("stray-build", &[("web/Dockerfile", DOCKERFILE), (PAGE, "next\n")]);
    world.start();
    world.reaches("stray-build", "ready");
    world.serves("stray-build", "next");
    checker::is_whole(&world, "after the next start", 20);
    assert!(!builds(), "the engine has given it up too");
}
