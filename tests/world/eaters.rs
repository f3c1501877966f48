//! Branches that take all they can get: the others do not notice.

use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::harness::{World, docker};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command:
      - busybox
      - sh
      - -c
      - "busybox mkdir -p /tmp/www; echo fine > /tmp/www/index.html; exec serve 8080 /tmp/www"
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
volumes:
  data: {}
"#;

/// Processes and memory without end.
const EATERS: [&str; 2] = [
    "bomb() { bomb | bomb & }; while :; do bomb; done",
    "while :; do busybox sh -c 'x=aaaaaaaa; while :; do x=$x$x; done'; done",
];

/// How long each eats.
fn seconds() -> u64 {
    std::env::var("DREY_EATERS_SECONDS").map_or(5, |text| text.parse().unwrap())
}

fn two_branches(world: &World) {
    for branch in ["eats/all", "eats/nothing"] {
        world.push(branch, &[("branch.txt", branch)]);
        world.reaches(branch, "ready");
    }
}

#[test]
fn a_fork_bomb_and_a_memory_eater_are_their_own_branchs_trouble() {
    // Others are tried at the same time: it gets less than the whole machine.
    let limits = "[limits]\npids = 300\ncpus = 0.5\nmemory = \"256MB\"\n";
    let world = World::configured("eaters", &[("compose.yaml", COMPOSE)], limits);
    two_branches(&world);
    for eater in EATERS {
        let inside = world.container("eats/all", "web");
        docker(&["exec", "-d", &inside, "busybox", "sh", "-c", eater]);
        let until = Instant::now() + Duration::from_secs(seconds());
        while Instant::now() < until {
            let answer = world.get("eats-nothing");
            assert!(answer.as_ref().is_some_and(|(status, _)| *status == 200), "{answer:?}");
            assert!(world.answers(), "the daemon answers");
        }
        docker(&["restart", "-t", "0", &inside]);
    }
    assert_eq!(world.environment("eats/nothing").unwrap()["phase"], "ready");
}

#[test]
fn whoever_fills_the_engines_disk_sleeps_and_the_others_serve() {
    let test = "eaters::whoever_fills_the_engines_disk_sleeps_and_the_others_serve";
    let Some(_engine) = Engine::with_disk(test, 700) else { return };
    let mut world = World::configured("filler", &[("compose.yaml", COMPOSE)], "[disk]\nevict = 0\n");
    two_branches(&world);
    let inside = world.container("eats/all", "web");
    docker(&["exec", "-d", &inside, "busybox", "dd", "if=/dev/zero", "of=/data/all", "bs=1M"]);
    let asleep = || world.environment("eats/all").is_some_and(|it| it["phase"] == "asleep");
    world.eventually("the filler sleeps", 60, asleep);
    let environment = world.environment("eats/all").unwrap();
    let reason = environment["reason"].as_str().unwrap();
    assert!(reason.contains("it wrote") && reason.contains("% full"), "{reason}");
    world.serves("eats-nothing", "fine");
    world.end_all();
}
