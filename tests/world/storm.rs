//! More than one can keep up with, and what does not want to go.

use std::time::{Duration, Instant};

use crate::checker::{self, PAGE};
use crate::harness::{REPO, World};

const COMPOSE: &str = r#"
services:
  web:
    build: ./web
    command: [serve, "8080", /www]
    expose: [8080]
    stop_signal: SIGKILL
"#;
const DOCKERFILE: &str = "FROM drey-demo/tiny:1\nCOPY page /www/index.html\n";
const PUSHES: u64 = 20;
const PUSHES_WITHIN: Duration = Duration::from_secs(10);
/// Deployments of these that come to their end: the last, and one that was quicker than the next push.
const DEPLOYMENTS: &str = "SELECT count(*) FROM deployment WHERE state != 'superseded'";

#[test]
fn of_twenty_pushes_in_ten_seconds_the_last_wins_and_nothing_is_left_of_the_others() {
    let world =
        World::new("storm", &[("compose.yaml", COMPOSE), ("web/Dockerfile", DOCKERFILE), (PAGE, "main\n")]);
    let begin = Instant::now();
    for number in 0..PUSHES {
        let due = PUSHES_WITHIN * u32::try_from(number).unwrap() / u32::try_from(PUSHES).unwrap();
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        world.push("storm", &[(PAGE, &format!("push {number}\n"))]);
    }
    println!("{PUSHES} pushes in {:.1} s", begin.elapsed().as_secs_f64());
    world.reaches("storm", "ready");
    world.serves("storm", &format!("push {}", PUSHES - 1));
    checker::is_whole(&world, "after the storm", 20);
    let came_to_an_end: u64 = world.ask(DEPLOYMENTS).parse().unwrap();
    println!("{came_to_an_end} deployments came to an end");
    assert!(came_to_an_end <= 2, "{came_to_an_end} deployments came to an end");
}

#[test]
fn a_container_that_does_not_want_to_stop_holds_up_neither_an_update_nor_the_end() {
    let stubborn = r#"
services:
  web:
    build: ./web
    command: [busybox, sh, -c, "trap '' TERM INT; busybox httpd -p 8080 -h /www; while :; do busybox sleep 1; done"]
    expose: [8080]
    stop_grace_period: 8760h
"#;
    let world = World::new(
        "stubborn",
        &[("compose.yaml", stubborn), ("web/Dockerfile", DOCKERFILE), (PAGE, "main\n")],
    );
    world.push("stubborn", &[(PAGE, "one\n")]);
    world.reaches("stubborn", "ready");
    world.push("stubborn", &[(PAGE, "two\n")]);
    let begin = Instant::now();
    world.reaches("stubborn", "ready");
    world.serves("stubborn", "two");
    println!("updated in {:.1} s", begin.elapsed().as_secs_f64());
    assert!(begin.elapsed() < Duration::from_secs(60));
    let begin = Instant::now();
    world.drey(&["env", "destroy", &format!("{REPO}/stubborn")]).unwrap();
    world.eventually("it is gone", 60, || world.things("stubborn").is_empty());
    println!("torn down in {:.1} s", begin.elapsed().as_secs_f64());
    checker::is_whole(&world, "after the end", 20);
}
