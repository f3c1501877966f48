//! A daemon that is killed between any two outside actions of a deployment, an update, an archive, a restore and an end:
//! once together with its children and again where the next life comes by the same place, once with its children left.
//! Afterwards there is no difference.
//!
//! `DREY_FAULTS=all cargo test --test world faults` goes through every place, `DREY_FAULTS=update.up,archive.renamed`
//! through these; otherwise each day has six of them. `DREY_FAULT_LANES` says how many daemons are killed at once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Instant, SystemTime};

use drey::ports::FAILPOINTS;
use serde_json::Value;

use crate::checker;
use crate::harness::{REPO, World, docker};
use crate::processes;

const COMPOSE: &str = r#"
services:
  web:
    build: ./web
    command: [serve, "8080", /www]
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["data:/data", "./conf:/conf:ro"]
    networks: [default, old]
  db:
    image: drey-demo/tiny:1
    command: [serve, "9000", /]
    stop_signal: SIGKILL
    volumes: ["rows:/rows"]
volumes:
  data: {}
  rows: {}
networks:
  old: {}
"#;
const DOCKERFILE: &str = "FROM drey-demo/tiny:1\nCOPY page /www/index.html\n";
/// Enough for many chunks, and nothing that compresses.
const FILL: &str = "cd /data; for i in $(busybox seq 1 40); do busybox mkdir -p d$((i % 5)); \
                    busybox head -c 150000 /dev/urandom > d$((i % 5))/f$i; done; echo kept > index.html";
const LIST: &str = "cd /data; busybox find . -type f -exec busybox sha256sum {} + | busybox sort";

/// Places that are passed some times before: in the middle of something.
const COUNTS: &[(&str, u32)] = &[
    ("archive.half_written", 20),
    ("restore.half_filled", 6),
    ("compose.half_way", 4),
    ("build.half_way", 4),
];
/// Places a day, unless all are asked for.
const A_DAY: usize = 6;
/// Seconds that the next life gets after a kill, and what a deployment takes here.
const WITHIN: u64 = 60 + 15;
/// Seconds until a daemon that is to die at a place has done so.
const DIES_WITHIN: u64 = 60;

#[test]
fn faults_at_any_place_leave_no_difference() {
    let (places, cases) = chosen();
    let count = cases.len();
    let queue = Mutex::new(VecDeque::from(cases));
    let failed = Mutex::new(Vec::new());
    let lanes = std::env::var("DREY_FAULT_LANES").map_or(1, |lanes| lanes.parse().unwrap());
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (queue, failed) = (&queue, &failed);
            scope.spawn(move || work(lane, queue, failed));
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("failpoints: {places}");
    println!("passed: {} of {count}", count - failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What becomes of the daemon's children when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Children {
    Killed,
    Left,
}

type Case = (&'static str, Children);

/// All, or those of the day: each of them one way today and the other way the next time.
fn chosen() -> (usize, Vec<Case>) {
    let both = |place| [(place, Children::Killed), (place, Children::Left)];
    match std::env::var("DREY_FAULTS").as_deref() {
        Ok("all") => (FAILPOINTS.len(), FAILPOINTS.iter().copied().flat_map(both).collect()),
        Ok(wanted) => {
            let places: Vec<&str> = wanted
                .split(',')
                .map(|one| *FAILPOINTS.iter().find(|place| **place == one).unwrap_or_else(|| panic!("{one}")))
                .collect();
            (places.len(), places.into_iter().flat_map(both).collect())
        }
        Err(_) => {
            let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
            let first = usize::try_from(day).unwrap() * A_DAY;
            let cases = (first..first + A_DAY).map(|number| {
                // A stride that shares no divisor with their number: stories in turn.
                let stride = [17, 19, 23]
                    .into_iter()
                    .find(|stride| !FAILPOINTS.len().is_multiple_of(*stride))
                    .unwrap();
                let round = number / FAILPOINTS.len();
                let children =
                    if (number + round).is_multiple_of(2) { Children::Killed } else { Children::Left };
                (FAILPOINTS[number * stride % FAILPOINTS.len()], children)
            });
            (A_DAY, cases.collect())
        }
    }
}

/// Takes cases until there are none; one that fails costs its lane the world it was in.
fn work(lane: usize, queue: &Mutex<VecDeque<Case>>, failed: &Mutex<Vec<String>>) {
    let mut world = None;
    let mut number = 0;
    loop {
        let Some((place, children)) = queue.lock().unwrap().pop_front() else { return };
        number += 1;
        let begin = Instant::now();
        let mut lane_of =
            Lane { world: world.take().unwrap_or_else(new_world), branch: format!("fault/{lane}-{number}") };
        let ended = catch_unwind(AssertUnwindSafe(|| lane_of.case(place, children)));
        let seconds = begin.elapsed().as_secs();
        let differences = match ended {
            Ok(differences) => differences,
            Err(panic) => {
                vec![panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "panicked".to_owned())]
            }
        };
        if differences.is_empty() {
            println!("{place}, children {children:?}: whole ({seconds} s)");
            world = Some(lane_of.world);
        } else {
            println!("{place}, children {children:?}: {} ({seconds} s)", differences.join("; "));
            lane_of.world.keep_logs();
            failed
                .lock()
                .unwrap()
                .push(format!("{place}, children {children:?}:\n  {}", differences.join("\n  ")));
            drop(lane_of);
        }
    }
}

fn new_world() -> World {
    let files = [
        ("compose.yaml", COMPOSE),
        ("web/Dockerfile", DOCKERFILE),
        ("web/page", "main\n"),
        ("conf/settings", "one\n"),
    ];
    World::configured("faults", &files, "[archive]\ndirect = false\n")
}

/// What the daemon is doing when it is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Story {
    Deploy,
    Update,
    Sleep,
    Wake,
    Archive,
    Restore,
    Destroy,
}

impl Story {
    fn of(place: &str) -> Self {
        match place.split_once('.').unwrap() {
            ("deploy" | "environment" | "build" | "up" | "compose", _) => Self::Deploy,
            ("update" | "intent" | "image", _) => Self::Update,
            ("sleep", _) => Self::Sleep,
            ("wake", _) => Self::Wake,
            ("archive", _) => Self::Archive,
            ("restore", _) => Self::Restore,
            ("destroy", _) => Self::Destroy,
            _ => panic!("{place} belongs to no story"),
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Deploy | Self::Update | Self::Wake | Self::Restore => "ready",
            Self::Sleep => "asleep",
            Self::Archive => "archived",
            Self::Destroy => "destroyed",
        }
    }
}

struct Lane {
    world: World,
    branch: String,
}

impl Lane {
    /// The differences that stay.
    fn case(&mut self, place: &str, children: Children) -> Vec<String> {
        let story = Story::of(place);
        let count = COUNTS.iter().find(|(counted, _)| *counted == place).map_or(1, |(_, count)| *count);
        let armed = format!("{place}:{count}");
        let content = self.prepare(story);
        self.world.kill();
        self.world.start_to_die_at(&armed);
        assert!(self.world.within(30, || self.world.answers()), "the daemon does not answer");
        self.act(story);
        if !self.dies() {
            return vec!["the daemon does not come by there".to_owned()];
        }
        if children == Children::Killed {
            self.kill_children();
            // Once more, where the next life comes by it.
            self.world.start_to_die_at(&armed);
            self.dies_or(|lane| lane.world.answers() && lane.is_at_rest(story.end()));
            self.world.kill();
            self.kill_children();
        }
        self.world.start();
        let arrived = self.world.within(WITHIN, || self.is_at_rest(story.end()));
        let mut differences = checker::differences_after(&self.world, if arrived { 20 } else { 0 });
        if !arrived {
            differences.insert(0, format!("{} is not {} within {WITHIN} s", self.branch, story.end()));
        }
        if differences.is_empty()
            && matches!(story, Story::Wake | Story::Restore)
            && Some(self.content()) != content
        {
            differences.push("not every byte is back".to_owned());
        }
        if differences.is_empty() {
            self.clean();
        }
        differences
    }

    /// Brings the branch to where the story begins; what its volume has.
    fn prepare(&self, story: Story) -> Option<String> {
        if story == Story::Deploy {
            return None;
        }
        self.push("first");
        self.world.reaches(&self.branch, "ready");
        if matches!(story, Story::Update | Story::Destroy) {
            return None;
        }
        self.web(FILL);
        let content = self.content();
        if story == Story::Wake {
            self.ask(&["env", "sleep", &self.name()]);
            self.world.eventually("it is asleep", 60, || self.is_at_rest("asleep"));
        }
        if story == Story::Restore {
            self.ask(&["env", "archive", &self.name()]);
            self.world.eventually("it is archived", 60, || self.is_at_rest("archived"));
        }
        Some(content)
    }

    fn act(&self, story: Story) {
        match story {
            Story::Deploy => self.push("first"),
            Story::Update => {
                let compose = COMPOSE
                    .replace("old", "new")
                    .replace("[\"rows:/rows\"]", "[\"rows:/rows\", \"more:/more\"]")
                    .replace("  rows: {}", "  rows: {}\n  more: {}");
                self.world.push(
                    &self.branch,
                    &[
                        ("compose.yaml", &compose),
                        ("web/page", &format!("{} second\n", self.branch)),
                        ("conf/settings", "two\n"),
                    ],
                );
            }
            Story::Sleep => self.ask(&["env", "sleep", &self.name()]),
            Story::Wake => self.ask(&["env", "wake", &self.name()]),
            Story::Archive => self.ask(&["env", "archive", &self.name()]),
            Story::Restore => self.ask(&["archive", "restore", &self.archive()]),
            Story::Destroy => self.ask(&["env", "destroy", &self.name()]),
        }
    }

    fn push(&self, word: &str) {
        let page = format!("{} {word}\n", self.branch);
        let files = [("compose.yaml", COMPOSE), ("web/page", page.as_str()), ("conf/settings", "one\n")];
        self.world.push(&self.branch, &files);
    }

    /// A command whose answer is lost when the daemon dies.
    fn ask(&self, command: &[&str]) {
        self.world.drey(command).ok();
    }

    /// Nothing of the branch is left, for the next case.
    fn clean(&self) {
        self.ask(&["env", "destroy", &self.name()]);
        self.world
            .eventually("it is over", 60, || self.is_at_rest("destroyed") || self.is_at_rest("archived"));
        for id in self.archives() {
            self.world.drey(&["archive", "remove", &id]).unwrap();
        }
        self.world.git(&["push", "-q", "origin", &format!(":{}", self.branch)]);
    }

    fn dies(&mut self) -> bool {
        self.dies_or(|_| false);
        self.world.is_killed()
    }

    /// Waits until the daemon died, or the other thing came true, or the time is over.
    fn dies_or(&mut self, other: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !self.world.is_killed() && !other(self) && begin.elapsed().as_secs() < DIES_WITHIN {
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
    }

    fn kill_children(&self) {
        processes::kill_strays(&self.world.path("data"));
    }

    fn name(&self) -> String {
        format!("{REPO}/{}", self.branch)
    }

    fn web(&self, script: &str) -> String {
        docker(&["exec", &self.world.container(&self.branch, "web"), "busybox", "sh", "-c", script])
    }

    /// Digests of the files of its volume.
    fn content(&self) -> String {
        self.web(LIST)
    }

    /// Where the branch's newest environment stands, its events settled.
    fn is_at_rest(&self, phase: &str) -> bool {
        let list = self.list(&["env", "list", "--all"]);
        let newest = list.iter().rfind(|it| it["branch"] == self.branch.as_str());
        newest.is_some_and(|it| it["phase"] == phase)
            && self.list(&["event", "list"]).iter().all(|event| event["state"] != "pending")
    }

    fn list(&self, command: &[&str]) -> Vec<Value> {
        let text = self.world.drey(&[command, &["--json"]].concat()).unwrap_or_default();
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    fn archives(&self) -> Vec<String> {
        let archives = self.list(&["archive", "list"]).into_iter();
        let of_it = archives.filter(|it| it["branch"] == self.branch.as_str());
        of_it.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }

    fn archive(&self) -> String {
        self.archives().pop().unwrap()
    }
}
