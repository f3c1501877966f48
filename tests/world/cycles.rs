//! Environments that come and go leave drey as it was before.
//!
//! `DREY_CYCLES=100` has so many; with `DREY_BINARY` of a release build the daemon's memory counts too.

use crate::checker::{self, PAGE};
use crate::harness::{REPO, World};

const CYCLES: usize = 12;
/// So many live at once.
const AT_ONCE: usize = 4;
/// Cycles before the first look: what is made once is there then.
const BEFORE: usize = 12;
const COMPOSE: &str = r#"
services:
  web:
    build: ./web
    command: [serve, "8080", /www]
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
volumes:
  data: {}
"#;

#[test]
fn cycles_of_environments_leave_no_thing_no_row_of_work_and_no_descriptor() {
    let cycles = std::env::var("DREY_CYCLES").map_or(CYCLES, |cycles| cycles.parse().unwrap());
    let files = [
        ("compose.yaml", COMPOSE),
        ("web/Dockerfile", "FROM drey-demo/tiny:1\nCOPY page /www/index.html\n"),
        (PAGE, "main\n"),
    ];
    let world = World::new("cycles", &files);
    let mut number = 0;
    let mut turn = |count: usize| {
        for _ in 0..count.div_ceil(AT_ONCE) {
            number += AT_ONCE;
            one_round(&world, number);
        }
        checker::is_whole(&world, "after the cycles", 30);
        (descriptors(&world), memory_kb(&world))
    };
    let before = turn(BEFORE);
    let after = turn(cycles);
    let growth = (after.1 / before.1 - 1.0) * 100.0;
    println!("cycles: {cycles}");
    println!("descriptors_before: {}\ndescriptors_after: {}", before.0, after.0);
    println!(
        "rss_before_mb: {:.1}\nrss_after_mb: {:.1}\nrss_growth_percent: {growth:.1}",
        before.1 / 1024.0,
        after.1 / 1024.0
    );
    assert!(after.0 <= before.0, "descriptors: {} before, {} after", before.0, after.0);
    if std::env::var("DREY_BINARY").is_ok() {
        assert!(growth <= 10.0, "memory grew by {growth} %");
    }
}

/// Some branches are pushed, ready, destroyed and deleted.
fn one_round(world: &World, number: usize) {
    let branches: Vec<String> = (0..AT_ONCE).map(|place| format!("cycle-{}", number + place)).collect();
    for branch in &branches {
        world.push(branch, &[(PAGE, branch)]);
    }
    for branch in &branches {
        world.reaches(branch, "ready");
        world.serves(branch, branch);
        world.drey(&["env", "destroy", &format!("{REPO}/{branch}")]).unwrap();
    }
    for branch in &branches {
        world.git(&["push", "-q", "origin", &format!(":{branch}")]);
    }
    world.eventually("all of them are over", 60, || {
        branches.iter().all(|branch| world.things(branch).is_empty())
    });
}

/// Open files of the daemon, once the connections of those that asked are closed.
fn descriptors(world: &World) -> usize {
    let count = || std::fs::read_dir(format!("/proc/{}/fd", world.id())).unwrap().count();
    (0..20)
        .map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            count()
        })
        .min()
        .unwrap()
}

fn memory_kb(world: &World) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
