//! Jobs in real containers.

use std::process::Command;

use crate::harness::{World, docker};

/// A page whose container is healthy only after its migration, and a database that gets healthy after a while.
fn compose(jobs: &str, variant: &str) -> String {
    format!(
        r#"
x-drey:
{jobs}
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /data]
    environment: {{ VARIANT: "{variant}" }}
    expose: [8080]
    volumes: ["data:/data"]
    depends_on: {{ db: {{ condition: service_healthy }} }}
    healthcheck: {{ test: [CMD, busybox, test, -f, /data/migrated], interval: 500ms, retries: 2 }}
    labels: {{ drey.ready.within: 20s }}
  db:
    image: drey-demo/tiny:1
    command: [sh, -c, "sleep 1; touch /tmp/up; exec serve 9000 /tmp"]
    healthcheck: {{ test: [CMD, busybox, test, -f, /tmp/up], interval: 500ms }}
volumes:
  data:
"#
    )
}

const MIGRATE: &str = r#"
  after_start:
    - service: db
      run: [busybox, test, -f, /tmp/up]
    - service: web
      run: echo "seeded by $$DREY_BRANCH" >> /data/index.html
      once_per: environment
    - service: web
      run: |
        echo migrated as $$(id -un)
        echo migrated >> /data/index.html
        touch /data/migrated
"#;

fn in_web(world: &World, branch: &str, script: &str) -> String {
    docker(&["exec", &world.container(branch, "web"), "sh", "-c", script])
}

#[test]
fn migrations_run_before_anybody_is_let_in_seeds_once_and_failures_are_told() {
    let world = World::new("jobs", &[("compose.yaml", &compose(MIGRATE, "1"))]);
    world.push("jobs-one", &[("a.txt", "a")]);
    world.reaches("jobs-one", "ready");
    let (status, page) = world.get("jobs-one").unwrap();
    assert_eq!((status, page.as_str()), (200, "seeded by jobs-one\nmigrated\n"));
    let log = world.drey(&["env", "log", "world/jobs-one"]).unwrap();
    assert!(log.contains("web | migrated as root") && log.contains("run job db: busybox test"), "{log}");

    world.push("jobs-one", &[("compose.yaml", &compose(MIGRATE, "2"))]);
    world.reaches("jobs-one", "ready");
    world.serves("jobs-one", "seeded by jobs-one\nmigrated\nmigrated\n");

    let failing = "  after_start: [{service: web, run: 'echo it hurts >&2; exit 7'}]";
    world.push("jobs-one", &[("compose.yaml", &compose(failing, "2"))]);
    let failed = world.reaches("jobs-one", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("exit code 7\n\nit hurts"), "{reason}");
    assert_eq!(failed["serving"], true, "what runs and is sound is served: {failed}");

    let missing = "  after_start: [{service: web, run: [/no/such/program]}]";
    world.push("jobs-one", &[("compose.yaml", &compose(missing, "2"))]);
    let failed = world.reaches("jobs-one", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.contains("job web: /no/such/program ended") && reason.contains("no such file"),
        "{reason}"
    );

    let slow =
        "  after_start: [{service: web, within: 1s, run: 'trap \"\" TERM; busybox sleep 300 & wait; wait'}]";
    world.push("jobs-one", &[("compose.yaml", &compose(slow, "2"))]);
    let failed = world.reaches("jobs-one", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("longer than 1 s (`within`) and was ended"), "{reason}");
    let processes = in_web(&world, "jobs-one", "busybox ps");
    assert!(!processes.contains("sleep 300"), "{processes}");
}

#[test]
fn a_running_job_is_cut_neither_by_a_newer_push_nor_by_the_daemons_death() {
    let mut world = World::new("uncut", &[("compose.yaml", &compose(MIGRATE, "1"))]);
    let slow = |name: &str| {
        format!(
            "  once_per: environment\n  after_start:\n    - service: web\n      run: >-\n        touch /data/migrated; \
             echo {name} begun >> /data/index.html; sleep 4; echo {name} ended >> /data/index.html"
        )
    };
    let page = |world: &World| {
        let container = world.container("jobs-two", "web");
        let read = Command::new("docker").args(["exec", &container, "cat", "/data/index.html"]).output();
        String::from_utf8_lossy(&read.unwrap().stdout).into_owned()
    };
    world.push("jobs-two", &[("compose.yaml", &compose(&slow("one"), "1"))]);
    let begun = |world: &World, what: &str| {
        world.eventually(what, 60, || page(world).contains(what));
    };
    begun(&world, "one begun");
    world.push("jobs-two", &[("compose.yaml", &compose(&slow("two"), "2"))]);
    begun(&world, "two begun");
    assert!(page(&world).starts_with("one begun\none ended\ntwo begun\n"), "{}", page(&world));
    world.kill();
    world.start();
    world.reaches("jobs-two", "ready");
    world.serves("jobs-two", "one begun\none ended\ntwo begun\ntwo ended\n");
    assert_eq!(page(&world).matches("two begun").count(), 1, "{}", page(&world));
}

#[test]
fn a_job_before_the_archive_has_to_succeed() {
    let last = "  before_archive: [{service: web, run: 'cat /data/word && echo the last word'}]";
    let plain = compose(last, "1").replace("/data/migrated", "/bin/serve");
    let world = World::new("last", &[("compose.yaml", &plain)]);
    world.push("jobs-three", &[("a.txt", "a")]);
    world.reaches("jobs-three", "ready");
    world.drey(&["env", "archive", "world/jobs-three"]).unwrap();
    let failed = world.reaches("jobs-three", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("/data/word") && reason.contains("drey env destroy"), "{reason}");
    in_web(&world, "jobs-three", "echo spoken > /data/word");
    world.drey(&["env", "archive", "world/jobs-three"]).unwrap();
    assert_eq!(world.archived("jobs-three"), "manual");
    world.eventually("nothing is left", 60, || world.things("jobs-three").is_empty());
}
