//! A data directory whose disk fills up, and a database that somebody else holds.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use drey::adapters::docker::{DockerEngine, DockerSettings};
use drey::domain::names::InstanceId;
use drey::ports::Stock;

use crate::checker;
use crate::full::Disk;
use crate::harness::{World, run};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /www]
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["./www:/www"]
"#;

/// Takes what is left of the database's reserve, so that not one more row finds room.
const EXHAUST: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for size in (65536, 4096, 64):
    try:
        while True:
            database.execute('INSERT INTO reserve (bytes) VALUES (randomblob(?))', (size,))
    except sqlite3.OperationalError as error:
        assert 'full' in str(error) or 'I/O' in str(error), error
";

/// Holds the lock for so many seconds, and says when it has it.
const HOLD: &str = "
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute('BEGIN IMMEDIATE')
print('held', flush=True)
time.sleep(float(sys.argv[2]))
database.execute('ROLLBACK')
";

const CHECK: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=30)
print(database.execute('PRAGMA integrity_check').fetchone()[0])
";

fn python(program: &str, arguments: &[&str]) -> String {
    run("python3", &[&["-c", program], arguments].concat(), Path::new("/"))
}

/// Writes into the file until the disk has so many KiB left.
fn fill(folder: &str, left_kib: u64) {
    let stat = run("stat", &["-f", "-c", "%a %S", folder], Path::new("/"));
    let numbers: Vec<u64> = stat.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let kib = (numbers[0] * numbers[1] / 1024).saturating_sub(left_kib);
    // The daemon writes at the same time: the last of it may find no room.
    let command = format!("dd if=/dev/zero of={folder}/filler bs=1024 count={kib} status=none || true");
    run("sh", &["-c", &command], Path::new("/"));
}

/// Lines that the daemon wrote about what went wrong.
fn complaints(world: &World) -> usize {
    let log = std::fs::read_to_string(world.path("daemon.log")).unwrap();
    log.lines().filter(|line| line.contains("\"ERROR\"") || line.contains("\"WARN\"")).count()
}

fn spooled(world: &World) -> usize {
    let spool = std::fs::read_dir(world.path("world.git/drey-spool")).into_iter().flatten().flatten();
    spool.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
}

fn is_known(world: &World, branch: &str) -> bool {
    let events = world.drey(&["event", "list", "--json"]).unwrap();
    events.contains(&format!("\"{branch}\""))
}

#[test]
fn a_full_data_directory_loses_no_push_and_works_again_by_itself() {
    // The engine is not this test's alone.
    let files = [("compose.yaml", COMPOSE), ("www/index.html", "main")];
    let mut world = World::configured("room", &files, "[gc]\nbuild_cache = \"unlimited\"\n");
    world.kill();
    let data = world.path("data");
    let _disk = Disk::mount_sized(data.clone(), "64m");
    world.start();
    world.push("roomserves", &[("www/index.html", "serves")]);
    world.reaches("roomserves", "ready");
    world.serves("roomserves", "serves");

    // Fuller than `stop`: what needs a checkout waits and says so.
    fill(&data, 5 * 1024);
    world.eventually("the disk is seen", 30, || {
        std::fs::read_to_string(world.path("daemon.log")).unwrap().contains("[disk] stop")
    });
    world.push("roomwaits", &[("www/index.html", "waits")]);
    world.eventually("it says what it waits for", 20, || {
        let reason = world.environment("roomwaits").map(|it| it["reason"].to_string()).unwrap_or_default();
        reason.contains("% full; builds wait until it is below 88 % ([disk] stop = 90)")
    });

    // Full to the last byte: the reserve still takes a push down.
    std::fs::remove_file(format!("{data}/filler")).unwrap();
    fill(&data, 0);
    assert!(world.push("roomreserve", &[("www/index.html", "reserve")]).contains("roomreserve"));
    assert!(is_known(&world, "roomreserve"));
    assert_eq!(spooled(&world), 0);

    // Nothing left at all: the hook keeps the push, and what runs goes on.
    let database = format!("{data}/drey.db");
    python(EXHAUST, &[&database]);
    let told = complaints(&world);
    let said = world.push("roomspooled", &[("www/index.html", "spooled")]);
    assert!(said.contains("answered 503") && said.contains("told with the next push"), "{said}");
    assert_eq!(spooled(&world), 1);
    assert!(!is_known(&world, "roomspooled"), "nothing was accepted, so nothing is stored");
    for _ in 0..20 {
        assert_eq!(world.get("roomserves").unwrap().0, 200);
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(complaints(&world) < told + 10, "{} lines in five seconds", complaints(&world) - told);
    assert_eq!(python(CHECK, &[&database]).trim(), "ok");

    // With room all of it goes on, and the next push brings what was kept.
    std::fs::remove_file(format!("{data}/filler")).unwrap();
    let said = world.push("roomafter", &[("www/index.html", "after")]);
    assert!(said.contains("told of 1 earlier push"), "{said}");
    for branch in ["roomwaits", "roomreserve", "roomspooled", "roomafter"] {
        world.reaches(branch, "ready");
    }
    world.serves("roomspooled", "spooled");
    let checkouts = run("find", &[&data, "-name", "checkout"], Path::new("/"));
    assert_eq!(checkouts, "", "nothing half-made stays");
    checker::is_whole(&world, "with room again", 30);
    world.end_all();
}

#[test]
fn a_database_that_somebody_holds_is_waited_for() {
    let world = World::new("held", &[("compose.yaml", COMPOSE), ("www/index.html", "main")]);
    world.push("heldserves", &[("www/index.html", "serves")]);
    world.reaches("heldserves", "ready");
    world.serves("heldserves", "serves");
    world.push("heldbegun", &[("www/index.html", "begun")]);
    let database = world.path("data/drey.db");
    let mut holder = hold(&database, "14");
    let said = world.push("heldspooled", &[("www/index.html", "spooled")]);
    assert!(said.contains("told with the next push"), "{said}");
    for _ in 0..10 {
        assert_eq!(world.get("heldserves").unwrap().0, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(holder.wait().unwrap().success());
    world.reaches("heldbegun", "ready");
    world.push("heldafter", &[("www/index.html", "after")]);
    for branch in ["heldspooled", "heldafter"] {
        world.reaches(branch, "ready");
    }
    checker::is_whole(&world, "the database is free again", 20);
}

/// Asked for nothing that is there: what the engine answers to the questions is what matters.
#[tokio::test]
async fn the_engine_is_asked_for_leftovers_in_words_that_it_knows() {
    let settings =
        DockerSettings { host: "unix:///var/run/docker.sock".into(), reach: None, registries: Vec::new() };
    let engine = DockerEngine::new(settings);
    let folders = engine.folders().await.unwrap();
    assert!(folders.iter().all(|folder| Path::new(folder).is_dir()), "{folders:?}");
    let ten_years = Duration::from_secs(10 * 365 * 86_400);
    assert_eq!(engine.prune_build_cache(ten_years, u64::MAX).await.unwrap(), 0);
    let nobody = InstanceId("nobody".into());
    assert_eq!(engine.built_images(&nobody).await.unwrap(), []);
}

fn hold(database: &str, seconds: &str) -> Child {
    use std::io::BufRead as _;

    let mut holder =
        Command::new("python3").args(["-c", HOLD, database, seconds]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    holder
}
