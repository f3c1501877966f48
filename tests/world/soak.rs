//! Ten branches, everything that happens to branches, and everything that happens to machines, at random. In the end there
//! is no difference.
//!
//! `DREY_SOAK=900` makes it last so many seconds, `DREY_SOAK_SEED` has the same choices again.

use std::time::{Duration, Instant, SystemTime};

use crate::checker::{self, PAGE};
use crate::dice::Dice;
use crate::engine::Engine;
use crate::harness::World;

const BRANCHES: usize = 10;
/// Of a quarter of an hour; a shorter soak has fewer.
const KILLS: usize = 60;
const ENGINE_RESTARTS: usize = 5;
const STOPS: usize = 4;
const FULL_SECONDS: f64 = 900.0;
const SHORT_SECONDS: f64 = 60.0;
/// Seconds until all of it is at rest.
const REST_WITHIN: u64 = 180;
const COMPOSE: &str = r#"
services:
  web:
    build: ./web
    command: [serve, "8080", /www]
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
  db:
    image: drey-demo/tiny:1
    command: [serve, "9000", /]
    stop_signal: SIGKILL
volumes:
  data: {}
"#;

#[test]
fn soak_of_pushes_kills_and_restarts_leaves_no_difference() {
    let Some(engine) = Engine::of("soak::soak_of_pushes_kills_and_restarts_leaves_no_difference") else {
        return;
    };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("DREY_SOAK_SEED").unwrap_or(now.as_secs() % 1_000_000);
    let seconds =
        number("DREY_SOAK").map_or(SHORT_SECONDS, |seconds| f64::from(u32::try_from(seconds).unwrap()));
    println!("seed: {seed}");
    let files = [
        ("compose.yaml", COMPOSE),
        ("web/Dockerfile", "FROM drey-demo/tiny:1\nCOPY page /www/index.html\n"),
        (PAGE, "main\n"),
    ];
    let world = World::configured("soak", &files, "poll_every = \"15s\"\n");
    let branches =
        (0..BRANCHES).map(|number| Branch { name: format!("soak-{number}"), state: State::Gone }).collect();
    let mut soak =
        Soak { world, engine, dice: Dice::new(seed), branches, pushes: 0, kills: 0, restarts: 0, stops: 0 };
    soak.run(seconds);
    let differences = soak.differences();
    println!("pushes: {}", soak.pushes);
    println!("kills: {}", soak.kills);
    println!("engine_restarts: {}", soak.restarts);
    println!("stops: {}", soak.stops);
    println!("differences: {}", differences.len());
    if !differences.is_empty() {
        soak.world.keep_logs();
    }
    assert!(differences.is_empty(), "seed {seed}:\n{}", differences.join("\n"));
}

/// What git has of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    There,
    /// Merged into main, and there.
    Merged,
    Gone,
}

struct Branch {
    name: String,
    state: State,
}

struct Soak {
    world: World,
    engine: Engine,
    dice: Dice,
    branches: Vec<Branch>,
    pushes: usize,
    kills: usize,
    restarts: usize,
    stops: usize,
}

/// What happens to the machine.
#[derive(Clone, Copy)]
enum Blow {
    Kill,
    EngineRestart,
    Stop,
}

impl Soak {
    fn run(&mut self, seconds: f64) {
        let mut blows = self.blows(seconds);
        let begin = Instant::now();
        while begin.elapsed().as_secs_f64() < seconds || !blows.is_empty() {
            self.git();
            while blows.first().is_some_and(|(moment, _)| *moment <= begin.elapsed().as_secs_f64()) {
                let (_, blow) = blows.remove(0);
                self.strike(blow);
            }
            self.pause(0.8);
        }
    }

    /// Spread over the time, but for its end.
    fn blows(&mut self, seconds: f64) -> Vec<(f64, Blow)> {
        let mut blows = Vec::new();
        for (count, blow) in
            [(KILLS, Blow::Kill), (ENGINE_RESTARTS, Blow::EngineRestart), (STOPS, Blow::Stop)]
        {
            let share = f64::from(u32::try_from(count).unwrap()) * seconds / FULL_SECONDS;
            let count =
                (1..=count).take_while(|number| f64::from(u32::try_from(*number).unwrap()) <= share).count();
            blows.extend(self.dice.moments(count.max(1), seconds).into_iter().map(|moment| (moment, blow)));
        }
        blows.sort_by(|one, other| one.0.total_cmp(&other.0));
        blows
    }

    fn strike(&mut self, blow: Blow) {
        match blow {
            Blow::Kill => {
                self.world.kill();
                self.kills += 1;
                self.pause(1.5);
                self.world.spawn(&[]);
                if self.dice.one_in(2) {
                    self.world.within(30, || self.world.answers());
                }
            }
            Blow::EngineRestart => {
                let gently = self.restarts.is_multiple_of(2);
                self.engine.restart(gently);
                self.restarts += 1;
            }
            Blow::Stop => {
                self.world.signal("STOP");
                self.stops += 1;
                self.git();
                self.pause(8.0);
                self.world.signal("CONT");
            }
        }
    }

    /// One thing that a developer does to a branch.
    fn git(&mut self) {
        let number = self.dice.below(BRANCHES);
        let name = self.branches[number].name.clone();
        let state = self.branches[number].state;
        let next = match (state, self.dice.below(10)) {
            (State::Gone, _) => self.create(&name),
            (State::There, 0 | 1) => self.delete(&name),
            (State::There, 2 | 3) if self.is_ready(&name) => self.merge(&name),
            (State::There, 4..=6) => self.force_push(&name),
            (State::There, _) => self.push(&name),
            (State::Merged, 0..=5) => self.delete(&name),
            (State::Merged, _) => self.force_push(&name),
        };
        self.branches[number].state = next;
    }

    fn create(&mut self, name: &str) -> State {
        self.world.git(&["checkout", "-q", "-B", name, "main"]);
        self.commit_and_push(name)
    }

    fn push(&mut self, name: &str) -> State {
        self.world.git(&["checkout", "-q", name]);
        self.commit_and_push(name)
    }

    /// All of it anew, upon what main is now.
    fn force_push(&mut self, name: &str) -> State {
        self.create(name)
    }

    fn commit_and_push(&mut self, name: &str) -> State {
        self.pushes += 1;
        let page = format!("{name} at push {}\n", self.pushes);
        self.world.commit(&[(PAGE, &page)]);
        self.world.git(&["push", "-q", "-f", "origin", name]);
        State::There
    }

    fn delete(&mut self, name: &str) -> State {
        self.world.git(&["push", "-q", "origin", &format!(":{name}")]);
        State::Gone
    }

    /// By one of the ways, where the branch has what main has not.
    fn merge(&mut self, name: &str) -> State {
        self.world.git(&["checkout", "-q", "main"]);
        let theirs = ["-q", "-X", "theirs"];
        if self.dice.one_in(2) && self.world.try_git(&["merge", "-q", "--ff-only", name]) {
            // A squash where main has not moved, else the fast-forward that it was.
            if self.dice.one_in(2) {
                self.world.git(&["reset", "-q", "--soft", "ORIG_HEAD"]);
                self.world.git(&["commit", "-q", "-m", &format!("{name}, squashed")]);
            }
        } else {
            let message = format!("merge {name}");
            self.world.git(&[&["merge"], &theirs[..], &["--no-ff", "-m", &message, name]].concat());
        }
        self.world.git(&["push", "-q", "origin", "main"]);
        State::Merged
    }

    /// drey has seen what the branch has of its own: only then is a merge one.
    fn is_ready(&self, name: &str) -> bool {
        let tip = self.world.git(&["rev-parse", name]);
        self.world
            .environment(name)
            .is_some_and(|it| it["phase"] == "ready" && it["running_commit"] == tip.trim())
    }

    fn pause(&mut self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(self.dice.part() * seconds));
    }

    fn differences(&mut self) -> Vec<String> {
        if self.world.is_killed() {
            self.world.spawn(&[]);
        }
        self.world.eventually("the daemon answers", 30, || self.world.answers());
        let mut differences = checker::differences_after(&self.world, REST_WITHIN);
        for branch in &self.branches {
            let phase =
                self.world.environment(&branch.name).map(|it| it["phase"].as_str().unwrap().to_owned());
            let is_right = match branch.state {
                State::There => phase.as_deref() == Some("ready"),
                State::Merged => phase.as_deref().is_none_or(|phase| phase == "archived"),
                // One that was gone before anything of it was made has nothing to keep.
                State::Gone => phase.as_deref().is_none_or(|phase| matches!(phase, "archived" | "destroyed")),
            };
            if !is_right {
                differences.push(format!("{} is {:?} in git, and {phase:?}", branch.name, branch.state));
            }
        }
        differences
    }
}
