//! What happens on the engine behind drey's back, and while it is away.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{REPO, World, docker};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /data]
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
  once:
    image: drey-demo/tiny:1
    command: [busybox, "true"]
    restart: "no"
  worker:
    image: drey-demo/tiny:1
    command:
      - busybox
      - sh
      - -c
      - "while ! busybox test -e /data/crash; do busybox sleep 0.2; done; echo no queue; exit 3"
    stop_signal: SIGKILL
    volumes: ["data:/data"]
volumes:
  data: {}
"#;

/// One with a page of its own; the id of the container that has it.
fn begin(world: &World, branch: &str) -> String {
    world.reaches(branch, "ready");
    let web = world.container(branch, "web");
    docker(&["exec", &web, "busybox", "sh", "-c", &format!("echo this is {branch} > /data/index.html")]);
    web
}

fn network(container: &str) -> String {
    let format = "{{range $name, $it := .NetworkSettings.Networks}}{{$name}}{{end}}";
    docker(&["inspect", "-f", format, container]).trim().to_owned()
}

fn volume(container: &str) -> String {
    docker(&["inspect", "-f", "{{range .Mounts}}{{.Name}}{{end}}", container]).trim().to_owned()
}

fn generation(world: &World, branch: &str) -> i64 {
    world.environment(branch).unwrap()["generation"].as_i64().unwrap()
}

fn reason(world: &World, branch: &str) -> String {
    let environment = world.environment(branch).unwrap();
    environment["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn whatever_is_done_to_containers_networks_and_volumes_is_put_right_within_a_minute() {
    let world = World::new("harm", &[("compose.yaml", COMPOSE)]);
    let branches =
        ["harm-kill", "harm-remove", "harm-pause", "harm-cut", "harm-network", "harm-volume", "harm-move"];
    for branch in branches {
        world.push(branch, &[("one.txt", branch)]);
    }
    let webs: Vec<String> = branches.iter().map(|branch| begin(&world, branch)).collect();
    // Nothing is judged before it has stood for a few seconds.
    std::thread::sleep(Duration::from_secs(6));
    let begin = Instant::now();
    let [kill, remove, pause, cut, netless, data, moved] = webs.as_slice() else { panic!() };
    docker(&["kill", kill]);
    docker(&["rm", "-f", remove]);
    docker(&["pause", pause]);
    docker(&["network", "disconnect", "-f", &network(cut), cut]);
    let name = network(netless);
    for service in ["web", "worker"] {
        docker(&["network", "disconnect", "-f", &name, &world.container("harm-network", service)]);
    }
    docker(&["network", "rm", &name]);
    let name = volume(data);
    docker(&["rm", "-f", data, &world.container("harm-volume", "worker")]);
    docker(&["volume", "rm", &name]);
    let name = network(moved);
    let subnet = docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", &name]);
    let (base, _) = subnet.trim().split_once('/').unwrap();
    let (three, last) = base.rsplit_once('.').unwrap();
    let address = format!("{three}.{}", last.parse::<u8>().unwrap() + 20);
    docker(&["network", "disconnect", &name, moved]);
    docker(&["network", "connect", "--ip", &address, &name, moved]);
    docker(&["restart", "-t", "0", moved]);

    for branch in branches.iter().filter(|branch| **branch != "harm-volume") {
        world.eventually(&format!("{branch} is put right"), 60, || {
            let is_ready = world.environment(branch).is_some_and(|it| {
                it["phase"] == "ready" && (it["generation"] == 2 || *branch == "harm-move")
            });
            is_ready && world.get(branch).is_some_and(|(_, body)| body.contains(&format!("this is {branch}")))
        });
        assert_eq!(reason(&world, branch), "", "{branch}");
    }
    world.eventually("lost data is told", 60, || reason(&world, "harm-volume").contains("data lost"));
    assert_eq!(world.get("harm-volume").unwrap().0, 404, "it runs, and its volume is empty");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(generation(&world, "harm-move"), 1, "another address is no damage");
    assert_eq!(world.container("harm-kill", "web"), *kill, "what is sound is started, not made anew");
}

#[test]
fn a_service_that_keeps_crashing_is_told_with_its_last_lines_until_it_runs_again() {
    let world = World::new("crashes", &[("compose.yaml", COMPOSE)]);
    world.push("keeps-crashing", &[("one.txt", "keeps")]);
    let web = begin(&world, "keeps-crashing");
    std::thread::sleep(Duration::from_secs(6));
    docker(&["exec", &web, "busybox", "touch", "/data/crash"]);
    world.eventually("it is told", 60, || reason(&world, "keeps-crashing").starts_with("degraded: "));
    let told = reason(&world, "keeps-crashing");
    assert!(told.contains("worker keeps crashing: exit code 3"), "{told}");
    assert!(told.contains("no queue"), "{told}");
    let environment = world.environment("keeps-crashing").unwrap();
    assert_eq!((environment["phase"].as_str(), environment["generation"].as_i64()), (Some("ready"), Some(1)));
    world.serves("keeps-crashing", "this is keeps-crashing");
    docker(&["exec", &web, "busybox", "rm", "/data/crash"]);
    world.eventually("it is taken back", 120, || reason(&world, "keeps-crashing").is_empty());
    assert_eq!(generation(&world, "keeps-crashing"), 1, "nobody deployed anything");
    let events = world.drey(&["event", "list", "--json"]).unwrap();
    assert!(!events.contains("\"drifted\""), "{events}");
}

#[test]
fn an_engine_that_was_away_is_looked_at_as_soon_as_it_is_back() {
    let mut world = World::new("away", &[("compose.yaml", COMPOSE)]);
    world.kill();
    let way = Way::new(world.path("engine.sock").into());
    let config = std::fs::read_to_string(world.path("drey.toml")).unwrap();
    let host = format!("[engine]\nhost = \"unix://{}\"\n", world.path("engine.sock"));
    std::fs::write(world.path("drey.toml"), config.replace("[engine]\n", &host)).unwrap();
    way.open();
    world.start();
    world.push("engine-away", &[("one.txt", "away")]);
    let web = begin(&world, "engine-away");
    way.close();
    docker(&["kill", &web]);
    std::thread::sleep(Duration::from_secs(4));
    let environment = world.environment("engine-away").unwrap();
    assert_eq!((environment["phase"].as_str(), environment["generation"].as_i64()), (Some("ready"), Some(1)));
    // A wish of this time waits, and says for what.
    world.drey(&["env", "deploy", &format!("{REPO}/engine-away")]).unwrap();
    let text = format!("the engine at unix://{} does not answer", world.path("engine.sock"));
    world.eventually("it is told", 60, || reason(&world, "engine-away").contains(&text));
    way.open();
    world.reaches("engine-away", "ready");
    world.serves("engine-away", "this is engine-away");
}

#[test]
fn orphans_of_this_drey_go_at_its_start_and_what_only_may_be_its_own_is_told() {
    let mut world = World::new("orphans", &[("compose.yaml", COMPOSE)]);
    world.push("has-orphans", &[("one.txt", "orphans")]);
    let web = begin(&world, "has-orphans");
    let instance = docker(&["inspect", "-f", "{{index .Config.Labels \"drey.instance\"}}", &web]);
    let instance = instance.trim();
    let label = format!("drey.instance={instance}");
    let name = |end: &str| format!("drey-{instance}-4711-never{end}");
    world.kill();
    docker(&[
        "create",
        "--name",
        &name("-web-1"),
        "--label",
        &label,
        "--network",
        "none",
        "drey-demo/tiny:1",
    ]);
    docker(&["network", "create", "--label", &label, "--subnet", "10.229.77.0/28", &name("_default")]);
    docker(&["volume", "create", "--label", &label, &name("_data")]);
    docker(&["create", "--name", &name("-other-1"), "--network", "none", "drey-demo/tiny:1", "busybox"]);
    world.start();
    let left = || {
        let all = [
            docker(&["ps", "-a", "--format", "{{.Names}}"]),
            docker(&["network", "ls", "--format", "{{.Name}}"]),
            docker(&["volume", "ls", "-q"]),
        ];
        let found = all.concat();
        let mut found: Vec<String> =
            found.lines().filter(|it| it.starts_with(&name(""))).map(str::to_owned).collect();
        found.sort();
        found
    };
    let told = || std::fs::read_to_string(world.path("data/leftovers.json")).unwrap_or_default();
    world.eventually("what is surely ours is gone", 30, || left() == [name("-other-1"), name("_data")]);
    world.eventually("the rest is told", 30, || told().contains(&name("_data")));
    assert!(told().contains(&name("-other-1")), "{}", told());
    docker(&["rm", "-f", &name("-other-1")]);
    docker(&["volume", "rm", &name("_data")]);
    world.serves("has-orphans", "this is has-orphans");
}

/// The way to the engine, for one daemon only: it can be closed, with all that is on it.
struct Way {
    path: PathBuf,
    open: Arc<Mutex<Vec<UnixStream>>>,
    listener: Mutex<Option<Arc<UnixListener>>>,
}

impl Way {
    fn new(path: PathBuf) -> Self {
        Self { path, open: Arc::default(), listener: Mutex::default() }
    }

    fn open(&self) {
        let listener = Arc::new(UnixListener::bind(&self.path).unwrap());
        *self.listener.lock().unwrap() = Some(listener.clone());
        let open = self.open.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = UnixStream::connect("/var/run/docker.sock").unwrap();
                open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
                {
                    std::thread::spawn(move || {
                        io::copy(&mut from, &mut to).ok();
                        to.shutdown(Shutdown::Write).ok();
                    });
                }
            }
        });
    }

    fn close(&self) {
        std::fs::remove_file(&self.path).unwrap();
        if let Some(listener) = self.listener.lock().unwrap().take() {
            // Whoever accepts wakes up by it, and finds the end.
            rustix::net::shutdown(&*listener, rustix::net::Shutdown::Both).ok();
        }
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}
