//! A daemon that is killed between any two outside actions of archiving and restoring, twice at each place: in a row where
//! the next start comes by it again.
//!
//! `DREY_KILLS=all cargo test --test world kills` goes through every place; otherwise each day has a few of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Instant, SystemTime};

use serde_json::Value;

use crate::harness::{REPO, World, docker, run};

const COMPOSE: &str = r#"
services:
  web:
    build: ./web
    command: [serve, "8080", /data]
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
  db:
    image: drey-demo/tiny:1
    command: [serve, "9000", /]
    stop_signal: SIGKILL
    volumes: ["rows:/rows"]
volumes:
  data: {}
  rows: {}
"#;

/// Enough for many chunks, and nothing that compresses.
const FILL: &str = "cd /data; for i in $(busybox seq 1 40); do busybox mkdir -p d$((i % 5)); \
                    busybox head -c 150000 /dev/urandom > d$((i % 5))/f$i; done; echo kept > index.html";
const LIST: &str = "find . -type f -exec sha256sum {} + | sort";

/// Where the daemon dies while it archives.
const ARCHIVING: &[&str] = &[
    "end.withdraw",
    "end.stop",
    "end.save_logs",
    "archive.commit_kept",
    "archive.carrier_made",
    "archive.half_written:20",
    "archive.written",
    "archive.verified",
    "archive.renamed",
    "archive.recorded",
    "end.archive",
    "end.remove_container",
    "end.remove_network",
    "end.remove_volume",
    "end.remove_image",
    "end.remove_files",
    "end.release",
];
/// Where it dies while it restores.
const RESTORING: &[&str] = &[
    "environment.asked",
    "environment.made",
    "deploy.create_network",
    "deploy.create_volume",
    "restore.carrier_made",
    "restore.half_filled:6",
    "restore.filled",
    "deploy.fill",
    "deploy.up",
    "deploy.publish",
];
/// Places a day, unless all are asked for.
const A_DAY: usize = 3;

#[test]
fn kills_while_archiving_and_restoring_leave_a_whole_environment_or_a_verified_archive() {
    let files = [
        ("compose.yaml", COMPOSE),
        ("web/Dockerfile", "FROM drey-demo/tiny:1\nCOPY page /page\n"),
        ("web/page", "page\n"),
    ];
    let mut kills =
        Kills { world: World::configured("kills", &files, "[archive]\ndirect = false\n"), lives: 0 };
    let (begin, mut places, mut done) = (Instant::now(), 0, 0);
    for place in chosen() {
        let mut here = 0;
        // What a second start does not come by again is killed a second time in another life.
        while here < 2 {
            here += if RESTORING.contains(&place) {
                kills.while_restoring(place)
            } else {
                kills.while_archiving(place)
            };
        }
        (places, done) = (places + 1, done + here);
        println!("{place}: whole after {here} kills ({} s in all)", begin.elapsed().as_secs());
    }
    println!("{places} places, {done} kills");
}

/// All, or those of the day.
fn chosen() -> Vec<&'static str> {
    let all: Vec<&str> = ARCHIVING.iter().chain(RESTORING).copied().collect();
    match std::env::var("DREY_KILLS").as_deref() {
        Ok("all") => all,
        Ok(wanted) => {
            wanted.split(',').map(|one| *all.iter().find(|place| **place == one).unwrap()).collect()
        }
        Err(_) => {
            let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
            let first = usize::try_from(day).unwrap() * A_DAY;
            // A stride that shares no divisor with their number: archiving and restoring in turn.
            (first..first + A_DAY).map(|number| all[number * 7 % all.len()]).collect()
        }
    }
}

struct Kills {
    world: World,
    /// Environments that were made, to name their branches.
    lives: usize,
}

impl Kills {
    /// How often the daemon died.
    fn while_archiving(&mut self, place: &'static str) -> usize {
        let (branch, content) = self.ready();
        self.world.kill();
        self.world.start_to_die_at(place);
        self.wait_for(place, Self::answers);
        self.world.drey(&["env", "archive", &format!("{REPO}/{branch}")]).ok();
        let kills = self.die(place, &branch, "archived");
        self.world.eventually(&format!("{place}: {branch} is archived"), 60, || self.is(&branch, "archived"));
        self.check_archived(place, &branch, &content);
        let id = self.archive_of(&branch);
        self.world.drey(&["archive", "remove", &id]).unwrap();
        self.check_files(place);
        kills
    }

    fn while_restoring(&mut self, place: &'static str) -> usize {
        let (branch, content) = self.ready();
        self.world.drey(&["env", "archive", &format!("{REPO}/{branch}")]).unwrap();
        self.world.eventually(&format!("{branch} is archived"), 60, || self.is(&branch, "archived"));
        let id = self.archive_of(&branch);
        self.world.kill();
        self.world.start_to_die_at(place);
        self.wait_for(place, Self::answers);
        self.world.drey(&["archive", "restore", &id]).ok();
        let kills = self.die(place, &branch, "ready");
        self.world.eventually(&format!("{place}: {branch} is ready"), 120, || self.is(&branch, "ready"));
        self.check_restored(place, &branch, &content);
        self.world.drey(&["env", "destroy", &format!("{REPO}/{branch}")]).unwrap();
        self.world.eventually(&format!("{branch} is destroyed"), 60, || self.is(&branch, "destroyed"));
        self.check_engine(place, &BTreeSet::new());
        self.world.drey(&["archive", "remove", &id]).unwrap();
        self.check_files(place);
        kills
    }

    /// An environment with data; its branch, and the digests of its files.
    fn ready(&mut self) -> (String, String) {
        self.lives += 1;
        let branch = format!("kill/{}", self.lives);
        self.world.push(&branch, &[("one.txt", &branch)]);
        self.world.reaches(&branch, "ready");
        self.web(&branch, FILL);
        let content = self.content(&branch);
        (branch, content)
    }

    fn web(&self, branch: &str, script: &str) -> String {
        docker(&["exec", &self.world.container(branch, "web"), "busybox", "sh", "-c", script])
    }

    fn content(&self, branch: &str) -> String {
        let script = format!("cd /data; {LIST}").replace("sha256sum", "busybox sha256sum");
        self.web(branch, &script.replace("find", "busybox find").replace("sort", "busybox sort"))
    }

    /// The daemon runs with its failpoint: it has to die there. The next one may, or comes to the end. Then one lives.
    fn die(&mut self, place: &str, branch: &str, end: &str) -> usize {
        self.wait_for(place, |kills| kills.world.is_killed());
        self.world.start_to_die_at(place);
        self.wait_for(place, |kills| kills.world.is_killed() || (kills.answers() && kills.is(branch, end)));
        let twice = self.world.is_killed();
        self.world.kill();
        self.world.start();
        1 + usize::from(twice)
    }

    fn wait_for(&mut self, place: &str, check: impl Fn(&mut Self) -> bool) {
        let begin = Instant::now();
        while !check(self) {
            assert!(begin.elapsed().as_secs() < 60, "{place}: the daemon neither died nor came to the end");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn answers(&mut self) -> bool {
        self.world.answers()
    }

    /// Where the branch's newest environment stands, its events settled.
    fn is(&self, branch: &str, phase: &str) -> bool {
        let list = self.list(&["env", "list", "--all"]);
        let newest = list.iter().rfind(|it| it["branch"] == branch);
        newest.is_some_and(|it| it["phase"] == phase)
            && self.list(&["event", "list"]).iter().all(|event| event["state"] != "pending")
    }

    fn list(&self, command: &[&str]) -> Vec<Value> {
        let text = self.world.drey(&[command, &["--json"]].concat()).unwrap_or_default();
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Exactly one archive is there of the branch; its id.
    fn archive_of(&self, branch: &str) -> String {
        let list = self.list(&["archive", "list"]);
        let of_it: Vec<&Value> = list.iter().filter(|it| it["branch"] == branch).collect();
        assert_eq!(of_it.len(), 1, "{of_it:?}");
        of_it[0]["id"].as_str().unwrap().to_owned()
    }

    fn check_archived(&self, place: &str, branch: &str, content: &str) {
        let id = self.archive_of(branch);
        self.world.drey(&["archive", "verify", &id]).unwrap();
        let folder = self.world.path(&format!("out-{}", self.lives));
        self.world.drey(&["archive", "extract", &id, "volumes/data", &folder]).unwrap();
        let kept = run("sh", &["-c", LIST], Path::new(&folder));
        assert_eq!(kept, content, "{place}: the archive has every byte");
        self.check_engine(place, &BTreeSet::new());
        self.check_files(place);
    }

    fn check_restored(&self, place: &str, branch: &str, content: &str) {
        assert_eq!(self.content(branch), content, "{place}: every byte is back");
        let lives = self.list(&["env", "list"]);
        assert_eq!(lives.iter().filter(|it| it["branch"] == branch).count(), 1, "{place}: one environment");
        self.world.drey(&["archive", "verify", &self.archive_of(branch)]).unwrap();
        let services = ["web-1", "db-1", "_default", "_data", "_rows"];
        self.check_engine(place, &services.map(str::to_owned).into());
        self.check_files(place);
    }

    /// Of all environments of this daemon exactly these things are on the engine, by the ends of their names.
    fn check_engine(&self, place: &str, wanted: &BTreeSet<String>) {
        let instance = self.instance();
        let prefix = format!("drey-{instance}-");
        let things = || {
            let mut things = Vec::new();
            for list in [
                &["ps", "-a", "--format", "{{.Names}}"][..],
                &["network", "ls", "--format", "{{.Name}}"],
                &["volume", "ls", "-q"],
            ] {
                things
                    .extend(docker(list).lines().filter(|name| name.starts_with(&prefix)).map(str::to_owned));
            }
            things
        };
        let is_right = || {
            let things = things();
            things.len() == wanted.len()
                && wanted.iter().all(|end| things.iter().filter(|name| name.ends_with(end)).count() == 1)
        };
        self.world.eventually(
            &format!("{place}: {wanted:?} is all there is, not {:?}", things()),
            20,
            is_right,
        );
        let images = || {
            let built =
                docker(&["image", "ls", "-q", "--filter", &format!("label=drey.instance={instance}")]);
            let carrier = docker(&["image", "ls", "-q", &format!("drey/carrier:{instance}")]);
            (built.lines().count(), carrier.lines().count())
        };
        let built = usize::from(!wanted.is_empty());
        self.world.eventually(&format!("{place}: no image is too many: {:?}", images()), 20, || {
            images() == (built, 0)
        });
    }

    fn instance(&self) -> String {
        let project = self.ask("SELECT project FROM environment ORDER BY id DESC LIMIT 1");
        project.split('-').nth(1).unwrap().to_owned()
    }

    /// One value out of the daemon's database.
    fn ask(&self, query: &str) -> String {
        let script =
            "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])";
        let arguments = ["-c", script, &self.world.path("data/drey.db"), query];
        run("python3", &arguments, Path::new("/")).trim().to_owned()
    }

    /// The folder of archives has those that are listed, the mirror their commits, and only who lives has files.
    fn check_files(&self, place: &str) {
        let failed = self.ask("SELECT group_concat(reason) FROM deployment WHERE state = 'failed'");
        assert_eq!(failed, "None", "{place}: no try fails by what the kill left");
        let ids = |command: &[&str]| -> BTreeSet<String> {
            self.list(command).iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
        };
        let listed = ids(&["archive", "list"]);
        let names = |folder: &str| -> BTreeSet<String> {
            let entries = std::fs::read_dir(self.world.path(folder)).unwrap().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
        };
        let files: BTreeSet<String> = listed.iter().map(|id| format!("{id}.tar.zst")).collect();
        assert_eq!(names("data/archives"), files, "{place}: files and rows");
        let lives = self.list(&["env", "list"]).len();
        assert_eq!(names("data/environments").len(), lives, "{place}: {:?}", names("data/environments"));
        let refs = ["for-each-ref", "--format=%(refname:lstrip=3)", "refs/drey/archives"];
        let mirrors = self.world.path("data/mirrors");
        let mirror =
            std::fs::read_dir(mirrors).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
        let kept: BTreeSet<String> = run("git", &refs, &mirror.path()).lines().map(str::to_owned).collect();
        assert_eq!(kept, listed, "{place}: commits and rows");
    }
}
