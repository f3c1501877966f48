//! Children of a daemon that was killed, which have nothing to say and so do not notice.

use crate::checker::{self, PAGE};
use crate::harness::World;
use crate::processes;

const SLOW_BUILD: &str = "FROM drey-demo/tiny:1\nRUN busybox sleep 300\nCOPY page /www/index.html\n";
const DOCKERFILE: &str = "FROM drey-demo/tiny:1\nCOPY page /www/index.html\n";
/// `up` waits for the database, which is never healthy.
const WAITING: &str = r#"
services:
  web:
    build: ./web
    command: [serve, "8080", /www]
    expose: [8080]
    stop_signal: SIGKILL
    depends_on: { db: { condition: service_healthy } }
  db:
    image: drey-demo/tiny:1
    command: [serve, "9000", /]
    stop_signal: SIGKILL
    healthcheck: { test: ["CMD", "false"], interval: 1s, retries: 300 }
"#;

fn compose() -> String {
    WAITING.replace("    depends_on: { db: { condition: service_healthy } }\n", "")
}

fn is_ended(branch: &'static str, name: &'static str, file: &str, content: &str, child: &str) {
    let compose = compose();
    let files = [("compose.yaml", compose.as_str()), ("web/Dockerfile", DOCKERFILE), (PAGE, "main\n")];
    let mut world = World::new(name, &files);
    world.push(branch, &[(file, content)]);
    let data = world.path("data");
    let works = || {
        std::process::Command::new("pgrep").args(["-f", child]).output().is_ok_and(|it| it.status.success())
    };
    world.eventually("its child works", 60, works);
    std::thread::sleep(std::time::Duration::from_secs(2));
    world.kill();
    assert!(!processes::strays(&data).is_empty(), "the child lives on: else this test shows nothing");
    // What is wanted now is another thing.
    world.push(
        branch,
        &[("compose.yaml", compose.as_str()), ("web/Dockerfile", DOCKERFILE), (PAGE, "next\n")],
    );
    world.start();
    world.reaches(branch, "ready");
    world.serves(branch, "next");
    checker::is_whole(&world, "after the next start", 20);
}

#[test]
fn a_build_that_outlives_its_daemon_is_ended_by_the_next() {
    is_ended("stray-build", "stray-build", "web/Dockerfile", SLOW_BUILD, "docker-buildx bake");
}

#[test]
fn an_up_that_outlives_its_daemon_is_ended_by_the_next() {
    is_ended("stray-up", "stray-up", "compose.yaml", WAITING, "docker-compose .*stray-up");
}
