//! A daemon of its own on the real engine, a bare repository with its hook, and eyes: curl and docker.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Once, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Every environment of these tests belongs to a repository of this name: what a broken run left is found by it.
pub(crate) const REPO: &str = "world";
pub(crate) const DOMAIN: &str = "world.localhost";
pub(crate) const SECRET: &str = "a secret of the world tests";

/// Each daemon has its own part of the address space: they run side by side.
static NEXT_PART: AtomicU16 = AtomicU16::new(0);
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
/// Seconds that any program may take: one that hangs fails its test, and does not hold up the run.
const LONGEST: u32 = 300;
static SWEEP: Once = Once::new();
/// Locked by the run that is on the engine; another one waits.
static ALONE: OnceLock<File> = OnceLock::new();

pub(crate) struct World {
    name: &'static str,
    folder: tempfile::TempDir,
    daemon: Option<Child>,
    http: u16,
    https: u16,
    plain: u16,
}

impl World {
    /// A daemon that runs, and a repository whose main branch has these files.
    pub(crate) fn new(name: &'static str, files: &[(&str, &str)]) -> Self {
        Self::configured(name, files, "")
    }

    /// The same, with more in the configuration.
    pub(crate) fn configured(name: &'static str, files: &[(&str, &str)], more: &str) -> Self {
        SWEEP.call_once(sweep);
        let folder = tempfile::Builder::new().prefix("drey-world-").tempdir().unwrap();
        let (http, https, plain) = (free_port(), free_port(), free_port());
        let mut world = Self { name, folder, daemon: None, http, https, plain };
        std::fs::create_dir(world.path("tmp")).unwrap();
        world.write_config(more);
        world.make_repository();
        world.commit(files);
        world.start();
        world.drey(&["hook", "install", "--repo", REPO, &world.path("world.git")]).ok();
        world.git(&["push", "-q", "origin", "main"]);
        world
    }

    fn write_config(&self, more: &str) {
        let part = NEXT_PART.fetch_add(1, Ordering::Relaxed) % 16;
        let engine = std::env::var("DOCKER_HOST")
            .map_or_else(|_| String::new(), |host| format!("host = \"{host}\"\n"));
        let config = format!(
            "data_dir = \"{data}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[proxy]\ndomain = \"{DOMAIN}\"\n\
             https = \"127.0.0.1:{https}\"\nhttp = \"127.0.0.1:{plain}\"\n\
             [engine]\n{engine}subnets = \"10.2{tens}.{net}.0/18\"\n\
             [defaults]\nmerge_grace = \"0s\"\nkeep = [\"develop\"]\n\
             [[repo]]\nname = \"{REPO}\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{more}",
            data = self.path("data"),
            http = self.http,
            https = self.https,
            plain = self.plain,
            tens = 14 + part / 4,
            net = (part % 4) * 64,
            url = self.path("world.git"),
        );
        std::fs::write(self.path("drey.toml"), config).unwrap();
    }

    fn make_repository(&self) {
        run("git", &["init", "-q", "--bare", "-b", "main", &self.path("world.git")], self.folder.path());
        run("git", &["clone", "-q", &self.path("world.git"), &self.path("clone")], self.folder.path());
        for (key, value) in [("user.name", "world"), ("user.email", "world@localhost")] {
            self.git(&["config", key, value]);
        }
        self.git(&["checkout", "-q", "-b", "main"]);
    }

    pub(crate) fn start(&mut self) {
        self.spawn(&[]);
        self.eventually("the daemon answers", 30, || self.answers());
    }

    /// Starts the daemon anew with a proxy that is open to everybody; its ports for https and http.
    pub(crate) fn open_proxy(&mut self) -> (u16, u16) {
        self.kill();
        let everywhere = |port: u16| format!("0.0.0.0:{port}");
        let (https, http) = (everywhere(self.https), everywhere(self.plain));
        self.spawn(&[
            ("DREY__PROXY__HTTPS", &https),
            ("DREY__PROXY__HTTP", &http),
            ("DREY__DEFAULTS__ACCESS", "open"),
        ]);
        self.eventually("the daemon answers", 30, || self.answers());
        (self.https, self.plain)
    }

    /// Starts a daemon that ends itself at the place (`drey::ports::FAILPOINTS`), maybe before it answers.
    pub(crate) fn start_to_die_at(&mut self, place: &str) {
        self.spawn(&[("DREY_FAILPOINT", place)]);
    }

    /// Starts a daemon, and does not wait for it.
    pub(crate) fn spawn(&mut self, variables: &[(&str, &str)]) {
        let log = File::options().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let child = Command::new(binary())
            .args(["serve", "--config", &self.path("drey.toml")])
            .envs(variables.iter().copied())
            // A folder of its own shows what it leaves there.
            .env("TMPDIR", self.path("tmp"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(child);
    }

    /// Starts a daemon by another program, which gets the daemon's own command line as its last arguments.
    pub(crate) fn spawn_by(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(self.path("daemon.log")).unwrap();
        command.args([&binary(), "serve", "--config", &self.path("drey.toml")]);
        command.current_dir(self.folder.path()).env("TMPDIR", self.path("tmp"));
        self.daemon = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// Of the proxy: https and http.
    pub(crate) const fn ports(&self) -> (u16, u16) {
        (self.https, self.plain)
    }

    pub(crate) const fn http_port(&self) -> u16 {
        self.http
    }

    pub(crate) const fn https_port(&self) -> u16 {
        self.https
    }

    pub(crate) fn answers(&self) -> bool {
        let url = format!("http://127.0.0.1:{}/readyz", self.http);
        curl(&["-sf", &url]).is_some_and(|output| output.status.success())
    }

    /// Whether the daemon was killed: by itself, or by [`Self::kill`].
    pub(crate) fn is_killed(&mut self) -> bool {
        let Some(daemon) = &mut self.daemon else { return true };
        let Some(status) = daemon.try_wait().unwrap() else { return false };
        assert_eq!(status.signal(), Some(9), "it ended in another way");
        self.daemon = None;
        true
    }

    /// The daemon's process.
    pub(crate) fn id(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Sends the daemon a signal by its short name.
    pub(crate) fn signal(&self, name: &str) {
        run("kill", &["-s", name, &self.id().to_string()], Path::new("/"));
    }

    /// Waits for the daemon's end; its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.daemon.take().unwrap().wait().unwrap().code()
    }

    /// Where the daemon takes hooks.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn clone_path(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    /// Standard output, or standard error of a failure.
    pub(crate) fn drey(&self, arguments: &[&str]) -> Result<String, String> {
        let output =
            bounded(&binary()).args(["--config", &self.path("drey.toml")]).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// What git said, the hook's words on the pusher's terminal among it.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        run("git", arguments, &self.clone_path())
    }

    /// Whether git did it.
    pub(crate) fn try_git(&self, arguments: &[&str]) -> bool {
        let output = bounded("git").args(arguments).current_dir(self.clone_path()).output();
        output.unwrap().status.success()
    }

    pub(crate) fn commit(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            let target = self.clone_path().join(path);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "world"]);
    }

    /// A commit on the branch, made from main where it is new, and its push.
    pub(crate) fn push(&self, branch: &str, files: &[(&str, &str)]) -> String {
        if self.git(&["branch", "--list", branch]).is_empty() {
            self.git(&["checkout", "-q", "-b", branch, "main"]);
        } else {
            self.git(&["checkout", "-q", branch]);
        }
        self.commit(files);
        self.git(&["push", "-f", "origin", branch])
    }

    pub(crate) fn environment(&self, branch: &str) -> Option<Value> {
        let text = self.drey(&["env", "show", &format!("{REPO}/{branch}"), "--json"]).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Waits until the branch's environment is in the phase at this commit of the clone's branch.
    pub(crate) fn reaches(&self, branch: &str, phase: &str) -> Value {
        let commit = self.git(&["rev-parse", branch]).trim().to_owned();
        self.eventually(&format!("{branch} is {phase} at {commit}"), 180, || {
            self.environment(branch).is_some_and(|it| it["phase"] == phase && it["commit"] == commit.as_str())
        });
        self.environment(branch).unwrap()
    }

    /// Waits until an archive of the branch is there; its outcome.
    pub(crate) fn archived(&self, branch: &str) -> String {
        let outcome = || {
            let text = self.drey(&["archive", "list", "--json"]).ok()?;
            let list: Value = serde_json::from_str(&text).ok()?;
            let archive = list["items"].as_array()?.iter().find(|it| it["branch"] == branch)?.clone();
            Some(archive["outcome"].as_str()?.to_owned())
        };
        self.eventually(&format!("{branch} is archived"), 120, || outcome().is_some());
        outcome().unwrap()
    }

    /// Status and body over HTTPS, the certificate checked against drey's own authority.
    pub(crate) fn get(&self, slug: &str) -> Option<(u16, String)> {
        self.get_at(slug, "/")
    }

    /// The same for a path.
    pub(crate) fn get_at(&self, slug: &str, path: &str) -> Option<(u16, String)> {
        let host = format!("{slug}.{DOMAIN}");
        let authority = self.path("ca.pem");
        if !Path::new(&authority).exists() {
            let url = format!("http://127.0.0.1:{}/.well-known/drey-ca.pem", self.plain);
            curl(&["-sf", "-H", &format!("Host: {host}"), "-o", &authority, &url])?;
        }
        let resolve = format!("{host}:{}:127.0.0.1", self.https);
        let url = format!("https://{host}:{}{path}", self.https);
        let output = curl(&[
            "-s",
            "-m",
            "15",
            "--cacert",
            &authority,
            "--resolve",
            &resolve,
            "-w",
            "\n%{http_code}",
            &url,
        ])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n')?;
        Some((status.parse().ok()?, body.to_owned()))
    }

    pub(crate) fn serves(&self, slug: &str, text: &str) {
        self.eventually(&format!("{slug} serves {text:?}"), 60, || {
            self.get(slug).is_some_and(|(status, body)| status == 200 && body.contains(text))
        });
    }

    /// Ids of the images that the daemon of this container built; others build at the same time.
    pub(crate) fn images_of_the_daemon_of(&self, container: &str) -> impl Fn() -> String {
        let instance = docker(&["inspect", "-f", "{{index .Config.Labels \"drey.instance\"}}", container]);
        let filter = format!("label=drey.instance={}", instance.trim());
        move || docker(&["image", "ls", "-q", "--filter", &filter])
    }

    /// Id of a service's container.
    pub(crate) fn container(&self, branch: &str, service: &str) -> String {
        let branch = format!("label=drey.branch={branch}");
        let service = format!("label=drey.service={service}");
        docker(&[
            "ps",
            "-aq",
            "--no-trunc",
            "--filter",
            &branch,
            "--filter",
            &service,
            "--filter",
            &self.ours(),
        ])
        .trim()
        .to_owned()
    }

    /// Containers, networks and volumes of the branch that are on the engine.
    pub(crate) fn things(&self, branch: &str) -> Vec<String> {
        let (filter, ours) = (format!("label=drey.branch={branch}"), self.ours());
        let mut things = Vec::new();
        for list in [&["ps", "-aq"][..], &["network", "ls", "-q"], &["volume", "ls", "-q"]] {
            let arguments = [list, &["--filter", &filter, "--filter", &ours]].concat();
            things.extend(docker(&arguments).lines().map(str::to_owned));
        }
        things
    }

    /// Destroys every environment, then ends the daemon: what it lives on may go before it would by itself.
    pub(crate) fn end_all(&mut self) {
        for branch in self.live() {
            self.drey(&["env", "destroy", &format!("{REPO}/{branch}")]).ok();
        }
        self.eventually("nothing is left", 60, || self.live().is_empty());
        self.kill();
    }

    /// Branches with an environment.
    fn live(&self) -> Vec<String> {
        let listed = self.drey(&["env", "list", "--json"]).unwrap_or_default();
        let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| Some(item["branch"].as_str()?.to_owned())).collect()
    }

    fn ours(&self) -> String {
        format!("label=drey.repo={REPO}")
    }

    /// One value out of the daemon's database.
    pub(crate) fn ask(&self, query: &str) -> String {
        let script =
            "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])";
        let arguments = ["-c", script, &self.path("data/drey.db"), query];
        run("python3", &arguments, Path::new("/")).trim().to_owned()
    }

    pub(crate) fn eventually(&self, what: &str, seconds: u64, check: impl FnMut() -> bool) {
        if !self.within(seconds, check) {
            self.keep_logs();
            panic!("{}: not within {seconds} s: {what}\n{}", self.name, self.what_is());
        }
    }

    /// Whether the check comes true in time.
    pub(crate) fn within(&self, seconds: u64, mut check: impl FnMut() -> bool) -> bool {
        let begin = Instant::now();
        while !check() {
            if begin.elapsed() > Duration::from_secs(seconds) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    fn what_is(&self) -> String {
        self.drey(&["env", "list", "--json"]).unwrap_or_else(|error| error)
    }

    /// Leaves what a person needs under `target/world/<name>/`.
    pub(crate) fn keep_logs(&self) {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/world").join(self.name);
        std::fs::create_dir_all(&target).unwrap();
        std::fs::copy(self.path("daemon.log"), target.join("daemon.log")).ok();
        std::fs::write(target.join("environments.json"), self.what_is()).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_logs();
        }
        if let Some(mut daemon) = self.daemon.take() {
            let begin = Instant::now();
            for branch in self.live() {
                self.drey(&["env", "destroy", &format!("{REPO}/{branch}")]).ok();
            }
            while begin.elapsed() < Duration::from_secs(60) && !self.live().is_empty() {
                std::thread::sleep(Duration::from_millis(50));
            }
            daemon.kill().ok();
            daemon.wait().ok();
        }
    }
}

/// Removes what a run that was killed left on the engine.
fn sweep() {
    // Held to the end of the process: the sweep would take another run's environments for leftovers.
    let engine = std::env::var("DOCKER_HOST")
        .unwrap_or_default()
        .replace(|letter: char| !letter.is_alphanumeric(), "-");
    let alone = File::create(std::env::temp_dir().join(format!("drey-world{engine}.lock"))).unwrap();
    alone.lock().unwrap();
    ALONE.set(alone).unwrap();
    let filter = format!("label=drey.repo={REPO}");
    for (list, remove) in [
        (&["ps", "-aq"][..], &["rm", "-f"][..]),
        (&["network", "ls", "-q"], &["network", "rm"]),
        (&["volume", "ls", "-q"], &["volume", "rm"]),
    ] {
        let found = docker(&[list, &["--filter", &filter]].concat());
        let ids: Vec<&str> = found.lines().collect();
        if !ids.is_empty() {
            docker(&[remove, &ids[..]].concat());
        }
    }
    sweep_walls();
}

/// Walls that a daemon left which is no more, and whose networks are gone.
fn sweep_walls() {
    let instances = docker(&["network", "ls", "--format", "{{.Label \"drey.instance\"}}"]);
    let tables = run("nft", &["list", "tables"], Path::new("/"));
    for table in tables.lines().filter_map(|line| line.strip_prefix("table inet ")) {
        let instance = table.strip_prefix("drey_");
        if instance.is_some_and(|instance| !instances.lines().any(|line| line == instance)) {
            run("nft", &["delete", "table", "inet", table], Path::new("/"));
        }
    }
}

/// The daemon and its commands; where figures count, those of another build (`DREY_BINARY`).
fn binary() -> String {
    std::env::var("DREY_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_drey").to_owned())
}

pub(crate) fn docker(arguments: &[&str]) -> String {
    run("docker", arguments, Path::new("/"))
}

fn curl(arguments: &[&str]) -> Option<Output> {
    bounded("curl").args(arguments).output().ok()
}

/// A program that is ended when it takes too long.
fn bounded(program: &str) -> Command {
    bounded_to(LONGEST, program)
}

/// The same, with a limit of its own, in seconds.
pub(crate) fn bounded_to(seconds: u32, program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string(), program]);
    command
}

/// Both outputs together; panics when the command fails.
pub(crate) fn run(program: &str, arguments: &[&str], directory: &Path) -> String {
    let output = bounded(program).args(arguments).current_dir(directory).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

/// A port that nobody has, out of those that the system gives to nobody by itself: a daemon that is killed and started
/// again finds it free.
pub(crate) fn free_port() -> u16 {
    let start = u16::try_from(std::process::id() % 1_000).unwrap() * 10;
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| 20_000 + (start + NEXT_PORT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .take(10_000)
        .find(is_free)
        .unwrap()
}
