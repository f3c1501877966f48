//! What is told while something is deployed, and what is kept of containers that are gone.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{REPO, World, bounded_to};

/// Answers two seconds after its start, and says a word at its beginning and at its end.
const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    environment: { WORD: first }
    command:
      - busybox
      - sh
      - -c
      - "echo hello from $$WORD; trap 'echo farewell from $$WORD; exit 0' TERM; busybox sleep 2; serve 8080 / & wait"
    expose: [8080]
  db: { image: "drey-demo/tiny:1", command: [serve, "9000", /] }
"#;

#[test]
fn the_log_is_followed_from_its_first_line_to_its_last() {
    let world = World::new("followed", &[("compose.yaml", COMPOSE)]);
    world.push("told/live", &[("one.txt", "told")]);
    let mut following = bounded_to(120, env!("CARGO_BIN_EXE_drey"))
        .args(["--config", &world.path("drey.toml"), "env", "log", "-f", &format!("{REPO}/told/live")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<(Instant, String)> = BufReader::new(following.stdout.take().unwrap())
        .lines()
        .map(|line| (Instant::now(), line.unwrap()))
        .collect();
    assert!(following.wait().unwrap().success());
    assert_eq!(
        world.environment("told/live").unwrap()["phase"],
        "ready",
        "it goes on until the work is done"
    );
    let find = |text: &str| lines.iter().find(|(_, line)| line.contains(text)).map(|(at, _)| *at);
    let (up, end) = (find("| up: this stack never ran").unwrap(), find("drey | succeeded").unwrap());
    assert!(end - up > Duration::from_secs(1), "lines come as they are written");
    assert!(lines.last().unwrap().1.ends_with("drey | succeeded"));

    let told: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    let later = world.drey(&["env", "log", "-f", &format!("{REPO}/told/live")]).unwrap();
    assert_eq!(later.lines().collect::<Vec<_>>(), told, "who comes later reads the same, and does not wait");
}

#[test]
fn a_push_that_waits_shows_the_deployment_until_it_is_ready_or_failed() {
    let world = World::new("waited", &[("compose.yaml", COMPOSE)]);
    world.git(&["checkout", "-q", "-b", "waited/for", "main"]);
    world.commit(&[("one.txt", "waited")]);
    let said = world.git(&["push", "-o", "drey.wait", "origin", "waited/for"]);
    assert_eq!(world.environment("waited/for").unwrap()["phase"], "ready", "{said}");
    let (up, ready) =
        (said.find("up: this stack never ran"), said.find("drey: ready → https://waited-for.world"));
    assert!(up.is_some() && up < ready, "{said}");

    let broken = COMPOSE.replace("busybox sleep 2; serve 8080 / & wait", "echo no disk; exit 4");
    world.commit(&[("compose.yaml", &broken)]);
    let said = world.git(&["push", "-o", "drey.wait", "origin", "waited/for"]);
    assert!(said.contains("drey: failed") && said.contains("web") && said.contains("no disk"), "{said}");
}

#[test]
fn the_log_of_each_replaced_container_is_kept_to_its_last_word() {
    let world = World::new("lastwords", &[("compose.yaml", COMPOSE)]);
    world.push("last/words", &[("one.txt", "last")]);
    world.reaches("last/words", "ready");
    for (from, to) in [("first", "second"), ("second", "third")] {
        world
            .push("last/words", &[("compose.yaml", &COMPOSE.replace("WORD: first", &format!("WORD: {to}")))]);
        world.reaches("last/words", "ready");
        let farewell = format!("farewell from {from}");
        world.eventually(&farewell, 10, || saved(&world).iter().any(|log| log.contains(&farewell)));
    }
    let logs = saved(&world);
    assert_eq!(logs.len(), 2, "of each container that went, and of no other: {logs:?}");
    for (log, word) in logs.iter().zip(["first", "second"]) {
        let (hello, farewell) = (log.find(&format!("web | hello from {word}")), log.find("farewell from"));
        assert!(hello.is_some() && hello < farewell, "{log}");
    }
}

/// Logs of containers, the oldest first: each begins with its time.
fn saved(world: &World) -> Vec<String> {
    let folders = std::fs::read_dir(world.path("data/environments")).unwrap().flatten();
    let files = folders
        .filter_map(|folder| std::fs::read_dir(folder.path().join("logs/containers")).ok())
        .flat_map(|files| files.flatten().collect::<Vec<_>>());
    let mut logs: Vec<String> = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
    logs.sort();
    logs
}
