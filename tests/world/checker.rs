//! One look at everything: what the registry says, against the engine, the disk, the routes, the archives, git and the
//! processes. Whatever a test did to drey, once it is at rest there is no difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{REPO, World, docker, run};
use crate::processes;

/// The file of a commit that the page of its environment shows, where it has one.
pub(crate) const PAGE: &str = "web/page";
/// Hostnames of ended environments that are asked, the newest ones.
const ENDED_HOSTS: usize = 5;

/// The whole registry as one JSON document: the tables, not what the daemon makes of them.
const REGISTRY: &str = r#"
import json, sqlite3, sys
base = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=10)
base.row_factory = sqlite3.Row
rows = lambda query: [dict(row) for row in base.execute(query)]
print(json.dumps({
  "integrity": [row[0] for row in base.execute("PRAGMA integrity_check")],
  "foreign_keys": [list(row) for row in base.execute("PRAGMA foreign_key_check")],
  "instance": rows("SELECT name FROM instance")[0]["name"],
  "environments": rows("SELECT * FROM environment ORDER BY id"),
  "stacks": rows("SELECT environment, stack, whole FROM applied_stack"),
  "images": rows("SELECT environment, tag FROM image_use"),
  "held": rows("SELECT tag FROM archive_image"),
  "subnets": rows("SELECT environment, cidr FROM subnet"),
  "routes": rows("SELECT environment, place, host, spec FROM route"),
  "archives": rows("SELECT id FROM archive WHERE removed_at IS NULL"),
  "pending": rows("SELECT id, kind, branch FROM event WHERE state = 'pending'"),
  "running": rows("SELECT id, environment FROM deployment WHERE state = 'running'"),
}))
"#;

/// Waits until there is no difference; the differences that stay.
pub(crate) fn differences_after(world: &World, seconds: u64) -> Vec<String> {
    let mut left = Vec::new();
    world.within(seconds, || {
        left = differences(world);
        left.is_empty()
    });
    left
}

/// As [`differences_after`], for a test that has nothing else to do with them.
pub(crate) fn is_whole(world: &World, what: &str, seconds: u64) {
    let left = differences_after(world, seconds);
    assert!(left.is_empty(), "{what}: not whole within {seconds} s:\n{}", left.join("\n"));
}

/// Everything that is not as it should be when drey is at rest. Empty: whole.
pub(crate) fn differences(world: &World) -> Vec<String> {
    let registry = match Registry::read(world) {
        Ok(registry) => registry,
        Err(error) => return vec![format!("registry: cannot be read: {error}")],
    };
    let mut look = Look { world, registry: &registry, found: Vec::new() };
    look.registry();
    // While it works, everything else may differ.
    if look.found.is_empty() {
        look.engine();
        look.disk();
        look.mirror();
        look.git();
        look.archives();
        look.processes();
        look.machine();
        // Last: whoever asks an environment that sleeps wakes it.
        look.routes();
    }
    look.found
}

/// Names of all control groups at the top of this machine's trees.
pub(crate) fn groups() -> BTreeSet<String> {
    let root = Path::new("/sys/fs/cgroup");
    let mut trees = vec![root.to_owned()];
    trees.extend(std::fs::read_dir(root).unwrap().flatten().map(|entry| entry.path()));
    let entries = trees.iter().filter_map(|tree| std::fs::read_dir(tree).ok()).flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

struct Registry {
    tables: Value,
    environments: Vec<Environment>,
    instance: String,
}

struct Environment {
    id: u64,
    row: Value,
    /// The stack that was applied.
    stack: Option<Value>,
    is_over: bool,
}

impl Environment {
    fn text(&self, column: &str) -> &str {
        self.row[column].as_str().unwrap_or_default()
    }

    fn name(&self) -> String {
        format!("{} ({})", self.text("branch"), self.id)
    }

    fn runs(&self) -> bool {
        self.text("phase") == "ready"
    }

    /// What a part of its stack is called, for each of them.
    fn names(&self, part: &str, key: &str) -> BTreeSet<String> {
        let items = self.stack.as_ref().and_then(|stack| stack[part].as_array()).into_iter().flatten();
        items.filter_map(|item| Some(item[key].as_str()?.to_owned())).collect()
    }

    /// What came out of an archive follows no branch until it is pushed to.
    fn follows(&self) -> bool {
        self.row["restored_from"].is_null() || self.row["restored_follows"] == 1
    }
}

impl Registry {
    fn read(world: &World) -> Result<Self, String> {
        let output = Command::new("python3")
            .args(["-c", REGISTRY, &world.path("data/drey.db")])
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let tables: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let stacks: BTreeMap<u64, Value> = items(&tables["stacks"])
            .filter_map(|row| {
                Some((row["environment"].as_u64()?, serde_json::from_str(row["stack"].as_str()?).ok()?))
            })
            .collect();
        let environment = |row: &Value| {
            let id = row["id"].as_u64().unwrap_or_default();
            let is_over = row["phase"] == "archived" || row["phase"] == "destroyed";
            Environment { id, row: row.clone(), stack: stacks.get(&id).cloned(), is_over }
        };
        let environments = items(&tables["environments"]).map(environment).collect();
        let instance = tables["instance"].as_str().unwrap_or_default().to_owned();
        Ok(Self { tables, environments, instance })
    }

    fn live(&self) -> impl Iterator<Item = &Environment> {
        self.environments.iter().filter(|environment| !environment.is_over)
    }

    fn live_ids(&self) -> BTreeSet<u64> {
        self.live().map(|environment| environment.id).collect()
    }

    fn column(&self, table: &str, column: &str) -> BTreeSet<String> {
        items(&self.tables[table]).filter_map(|row| Some(row[column].as_str()?.to_owned())).collect()
    }
}

struct Look<'a> {
    world: &'a World,
    registry: &'a Registry,
    found: Vec<String>,
}

impl Look<'_> {
    fn tell(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }

    /// Tells what is missing and what is too much.
    fn compare(&mut self, what: &str, there: &BTreeSet<String>, wanted: &BTreeSet<String>) {
        for missing in wanted.difference(there) {
            self.tell(format!("{what}: {missing} is missing"));
        }
        for surplus in there.difference(wanted) {
            self.tell(format!("{what}: {surplus} is too much"));
        }
    }

    /// At rest and sound by itself; the API says the same.
    fn registry(&mut self) {
        let tables = &self.registry.tables;
        if tables["integrity"] != serde_json::json!(["ok"]) || tables["foreign_keys"] != serde_json::json!([])
        {
            self.tell(format!("database: {} {}", tables["integrity"], tables["foreign_keys"]));
        }
        for event in items(&tables["pending"]) {
            self.tell(format!("event: {event} is pending"));
        }
        for deployment in items(&tables["running"]) {
            self.tell(format!("deployment: {deployment} runs"));
        }
        let live = self.registry.live_ids();
        for table in ["stacks", "images", "subnets"] {
            for row in items(&tables[table]).filter(|row| !has_environment(row, &live)) {
                self.tell(format!("{table}: {} belongs to an environment that is over", row["environment"]));
            }
        }
        for environment in &self.registry.environments {
            let name = environment.name();
            if environment.row["settled_generation"] != environment.row["generation"] {
                self.tell(format!("{name}: its newest generation is not settled"));
            }
            let phase = environment.text("phase");
            if !environment.is_over && !["ready", "asleep"].contains(&phase) {
                self.tell(format!("{name}: is {phase}: {}", environment.row["reason"]));
            }
            if environment.runs() != (environment.row["serving"] == 1) {
                self.tell(format!("{name}: is {phase}, but serving is {}", environment.row["serving"]));
            }
        }
        let listed = self.world.drey(&["env", "list", "--all", "--json"]).unwrap_or_else(|error| error);
        let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
        let line = |row: &Value, commit: &str| {
            format!("{} {} {} {}", row["branch"], row["slug"], row["phase"], row[commit])
        };
        let listed = items(&listed["items"]).map(|row| line(row, "commit")).collect();
        let rows = self.registry.environments.iter().map(|it| line(&it.row, "commit_id")).collect();
        self.compare("API", &listed, &rows);
    }

    fn engine(&mut self) {
        self.containers();
        let live = || self.registry.live();
        let networks = live().flat_map(|environment| environment.names("networks", "name")).collect();
        let volumes = live().flat_map(|environment| environment.names("volumes", "name")).collect();
        let there = self.on_the_engine(&["network", "ls", "--format", NAME_AND_INSTANCE]);
        self.compare("network", &there, &networks);
        self.subnets(&there);
        let there = self.on_the_engine(&["volume", "ls", "--format", NAME_AND_INSTANCE]);
        self.compare("volume", &there, &volumes);
        let wanted = self
            .registry
            .column("images", "tag")
            .union(&self.registry.column("held", "tag"))
            .cloned()
            .collect();
        let label = format!("label=drey.instance={}", self.registry.instance);
        let carrier = format!("drey/carrier:{}", self.registry.instance);
        let format = "{{.Repository}}:{{.Tag}}";
        let mut there = docker(&["image", "ls", "-a", "--filter", &label, "--format", format]);
        there.push_str(&docker(&["image", "ls", &carrier, "--format", format]));
        self.compare("image", &there.lines().map(str::to_owned).collect(), &wanted);
    }

    /// Names of what belongs to this daemon: by the name or by the label, each alone tells enough to look at it.
    fn on_the_engine(&self, list: &[&str]) -> BTreeSet<String> {
        let prefix = format!("drey-{}-", self.registry.instance);
        let listed = docker(list);
        let things = listed.lines().filter_map(|line| line.split_once('\t'));
        let ours = |(name, instance): &(&str, &str)| {
            name.starts_with(&prefix) || *instance == self.registry.instance
        };
        things.filter(ours).map(|(name, _)| name.to_owned()).collect()
    }

    fn containers(&mut self) {
        let prefix = format!("drey-{}-", self.registry.instance);
        let mut wanted = BTreeSet::new();
        for environment in self.registry.live() {
            let services = environment.stack.as_ref().and_then(|stack| stack["services"].as_object());
            for (service, facts) in services.into_iter().flatten() {
                for number in 1..=facts["replicas"].as_u64().unwrap_or(1) {
                    let state = match environment.runs() {
                        true if facts["may_complete"] == true => "running or completed",
                        true => "running",
                        false => "stopped",
                    };
                    wanted.insert(format!("{}-{service}-{number} {state}", environment.text("project")));
                }
            }
        }
        let format = "{{.Names}}\t{{.State}}\t{{.Label \"drey.instance\"}}";
        let listed = docker(&["ps", "-a", "--format", format]);
        let mut there = BTreeSet::new();
        for line in listed.lines() {
            let parts: Vec<&str> = line.split('\t').collect();
            let [name, state, instance] = parts[..] else { continue };
            if !name.starts_with(&prefix) && instance != self.registry.instance {
                continue;
            }
            let state = match state {
                "exited" | "created" => "stopped",
                other => other,
            };
            let completed = format!("{name} running or completed");
            let is_completing = wanted.contains(&completed) && ["running", "stopped"].contains(&state);
            there.insert(if is_completing { completed } else { format!("{name} {state}") });
        }
        self.compare("container", &there, &wanted);
    }

    fn subnets(&mut self, networks: &BTreeSet<String>) {
        let names: Vec<&str> = networks.iter().map(String::as_str).collect();
        let mut there = BTreeSet::new();
        if !names.is_empty() {
            let inspect = ["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}}{{end}}"];
            there.extend(docker(&[&inspect[..], &names].concat()).lines().map(str::to_owned));
        }
        let wanted = self.registry.column("subnets", "cidr");
        for subnet in there.difference(&wanted) {
            self.tell(format!("subnet: {subnet} is on the engine, and not written down"));
        }
    }

    /// What the machine has around environments, besides what the engine has.
    fn machine(&mut self) {
        let prefix = format!("drey-{}-", self.registry.instance);
        let groups: BTreeSet<String> =
            groups().iter().filter_map(|group| Some(group.strip_prefix(&prefix)?.to_owned())).collect();
        let live: BTreeSet<String> = self.registry.live_ids().iter().map(u64::to_string).collect();
        // One that sleeps since the machine was started has none yet; a build that was cut leaves the group of builds
        // to the next one.
        let known =
            groups.iter().filter(|group| live.contains(*group) || *group == "builds" && !live.is_empty());
        let known = known.cloned().collect();
        self.compare("control group", &groups, &known);
        let table = format!("drey_{}", self.registry.instance);
        let walled = self.world.tables().lines().any(|line| line.split_whitespace().last() == Some(&table));
        if walled == self.registry.tables["subnets"].as_array().is_none_or(Vec::is_empty) {
            self.found.push(format!("walls: table {table} there: {walled}"));
        }
    }

    fn disk(&mut self) {
        let known = [
            "drey.db",
            "drey.db-wal",
            "drey.db-shm",
            "drey.lock",
            "drey.sock",
            "links.key",
            "leftovers.json",
            "environments",
            "mirrors",
            "archives",
            "empty",
            "builder",
            "tls",
        ];
        let names = |folder: &str| names_in(&self.world.path(folder));
        let surplus: Vec<String> =
            names("data").into_iter().filter(|name| !known.contains(&name.as_str())).collect();
        let (empty, temporary) = (names("data/empty"), names("tmp"));
        let builder = names("data/builder").into_iter().filter(|name| name != "state").collect();
        let (archives, environments) = (names("data/archives"), names("data/environments"));
        let files = self.registry.column("archives", "id").iter().map(|id| format!("{id}.tar.zst")).collect();
        let folders = self.registry.live_ids().iter().map(u64::to_string).collect();
        self.compare("data folder", &surplus.into_iter().collect(), &BTreeSet::new());
        self.compare("empty folder", &empty, &BTreeSet::new());
        self.compare("temporary file", &temporary, &BTreeSet::new());
        self.compare("builder's folder", &builder, &BTreeSet::new());
        self.compare("archive file", &archives, &files);
        self.compare("environment's folder", &environments, &folders);
        for environment in self.registry.live() {
            let folder = self.world.path(&format!("data/environments/{}", environment.id));
            let known = ["binds", "checkout.times", "compose.json", "logs"];
            for name in names_in(&folder).iter().filter(|name| !known.contains(&name.as_str())) {
                self.tell(format!("{}: {name} is left in its folder", environment.name()));
            }
            let binds = environment.names("binds", "content_id");
            let what = format!("{}: bound files", environment.name());
            self.compare(&what, &names_in(&format!("{folder}/binds")), &binds);
        }
    }

    /// The mirror has the commits of archives, no branch that is over, and nothing half.
    fn mirror(&mut self) {
        let mirror = self.world.path(&format!("data/mirrors/{REPO}.git"));
        if !Path::new(&mirror).exists() {
            return;
        }
        let list = |namespace: &str| -> BTreeSet<String> {
            let format = "--format=%(refname:lstrip=-1)";
            let refs = run("git", &["for-each-ref", format, namespace], Path::new(&mirror));
            refs.lines().map(str::to_owned).collect()
        };
        self.compare(
            "archive's commit",
            &list("refs/drey/archives"),
            &self.registry.column("archives", "id"),
        );
        let branches = self.registry.live().map(|environment| environment.text("branch")).chain(["main"]);
        let known: BTreeSet<String> = branches
            .map(|branch| hex::encode(Sha256::digest(format!("refs/heads/{branch}").as_bytes())))
            .collect();
        for surplus in list("refs/branches").difference(&known) {
            self.tell(format!("mirror: the ref {surplus} is of no branch that has an environment"));
        }
        let half = run("find", &[".", "-name", "*.lock", "-o", "-name", "tmp_*"], Path::new(&mirror));
        for left in half.lines() {
            self.tell(format!("mirror: {left} is left"));
        }
    }

    /// Every branch has its environment at its tip, and no environment a branch that is gone or merged.
    fn git(&mut self) {
        let bare = self.world.path("world.git");
        let format = "--format=%(objectname) %(refname:lstrip=2)";
        let listed = run("git", &["for-each-ref", format, "refs/heads"], Path::new(&bare));
        let tips: BTreeMap<&str, &str> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(tip, branch)| (branch, tip))
            .collect();
        for (branch, tip) in tips.iter().filter(|(branch, _)| **branch != "main") {
            let newest = self.registry.environments.iter().rfind(|it| it.text("branch") == *branch);
            match newest {
                None => self.tell(format!("git: {branch} has no environment")),
                Some(newest) if !newest.follows() => {}
                Some(newest) if newest.text("commit_id") != *tip => {
                    self.tell(format!(
                        "git: {branch} is at {tip}, its environment {} at {}",
                        newest.id, newest.row["commit_id"]
                    ));
                }
                Some(newest) if newest.runs() && newest.text("running_commit") != *tip => {
                    self.tell(format!("git: {branch} is at {tip}, {} runs", newest.row["running_commit"]));
                }
                Some(_) => {}
            }
        }
        for environment in self.registry.live().filter(|environment| environment.follows()) {
            let name = environment.name();
            let Some(tip) = tips.get(environment.text("branch")) else {
                self.tell(format!("git: the branch of {name} is gone"));
                continue;
            };
            let is_merged = ["merge-base", "--is-ancestor", tip, "main"];
            let kept = environment.text("branch") == "develop";
            if environment.row["had_own_commit"] == 1 && !kept && succeeds("git", &is_merged, &bare) {
                self.tell(format!("git: the branch of {name} is merged"));
            }
        }
    }

    fn archives(&mut self) {
        for id in self.registry.column("archives", "id") {
            if let Err(error) = self.world.drey(&["archive", "verify", &id]) {
                self.tell(format!("archive {id}: {error}"));
            }
        }
    }

    fn processes(&mut self) {
        for stray in processes::strays(&self.world.path("")) {
            self.tell(format!("process: {stray} of a former life still runs"));
        }
    }

    /// What visitors get.
    fn routes(&mut self) {
        let owner = |row: &Value| row["environment"].as_u64();
        for environment in self.registry.live().filter(|environment| environment.runs()) {
            let routes = items(&self.registry.tables["routes"]);
            for route in routes.filter(|row| owner(row) == Some(environment.id)) {
                self.answer(environment, route);
            }
        }
        let slugs: BTreeSet<&str> =
            self.registry.live().map(|environment| environment.text("slug")).collect();
        let mut asked = BTreeSet::new();
        for environment in self.registry.environments.iter().rev().filter(|environment| environment.is_over) {
            let slug = environment.text("slug");
            if slugs.contains(slug) || asked.len() >= ENDED_HOSTS || !asked.insert(slug) {
                continue;
            }
            let status = self.world.get(slug).map(|(status, _)| status);
            if status != Some(410) {
                self.tell(format!("route: {} is over, and {slug} answers {status:?}", environment.name()));
            }
        }
        let status = self.world.get("nobody-has-this-name").map(|(status, _)| status);
        if status != Some(404) {
            self.tell(format!("route: an unknown name answers {status:?}"));
        }
    }

    fn answer(&mut self, environment: &Environment, route: &Value) {
        let host = route["host"].as_str().unwrap_or_default();
        let Some((status, body)) = self.world.get(host.split('.').next().unwrap_or_default()) else {
            self.tell(format!("route: {host} does not answer"));
            return;
        };
        let page = format!("{}:{PAGE}", environment.text("running_commit"));
        let page = Command::new("git").args(["-C", &self.world.path("world.git"), "show", &page]).output();
        let page = page.ok().filter(|output| output.status.success()).map(|output| output.stdout);
        let wanted = page.map(|page| String::from_utf8_lossy(&page).into_owned());
        // A service without the page has one of its own, or none.
        let is_primary = route["place"] == 0;
        let is_right = match wanted {
            Some(wanted) if is_primary => status == 200 && body.trim() == wanted.trim(),
            Some(_) | None => status < 500,
        };
        if !is_right {
            let begin: String = body.chars().take(60).collect();
            self.tell(format!("route: {host} answers {status} {begin:?} for {}", environment.name()));
        }
    }
}

const NAME_AND_INSTANCE: &str = "{{.Name}}\t{{.Label \"drey.instance\"}}";

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn has_environment(row: &Value, ids: &BTreeSet<u64>) -> bool {
    row["environment"].as_u64().is_some_and(|id| ids.contains(&id))
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn succeeds(program: &str, arguments: &[&str], directory: &str) -> bool {
    Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .is_ok_and(|output| output.status.success())
}
