//! What code inside a branch reaches: its own services, and of this machine the proxy's ports. Nothing else.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::checker;
use crate::harness::{World, docker, run};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /]
    expose: [8080]
  db: { image: "drey-demo/tiny:1", command: [serve, "9000", /] }
"#;

/// Ports of this machine that something listens on while the probes run: a terminal, web servers, drey's own, an engine.
const PORTS: [u16; 6] = [22, 80, 443, 2375, 8420, 9999];

/// Tells which of its arguments (host and port, joined by a slash) take a connection.
const PROBE: &str = r#"for target in "$@"; do
  busybox timeout 4 busybox nc -w 2 "${target%/*}" "${target#*/}" </dev/null >/dev/null 2>&1 && echo "$target"
done; true"#;

/// Listens on every address of this machine; where somebody else does already, that will do.
fn listen(port: u16) {
    let Ok(listener) = TcpListener::bind(("0.0.0.0", port)) else { return };
    // For as long as the tests run: each connection is taken and closed.
    std::thread::spawn(move || listener.incoming().for_each(drop));
}

/// What of these takes a connection from inside the container.
fn open(container: &str, targets: &[String]) -> BTreeSet<String> {
    let arguments: Vec<&str> = ["exec", container, "busybox", "sh", "-c", PROBE, "probe"]
        .into_iter()
        .chain(targets.iter().map(String::as_str))
        .collect();
    docker(&arguments).lines().map(str::to_owned).collect()
}

/// Somebody else's container, with a port that it publishes.
struct Foreign(String);

impl Foreign {
    fn run() -> Self {
        let run = ["run", "-d", "--rm", "-p", "8080", "drey-demo/tiny:1", "serve", "8080", "/"];
        Self(docker(&run).trim().to_owned())
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.0]);
    }
}

/// The one network of a container: its gateway and the container's address there.
fn network(container: &str) -> (String, String) {
    let format = "{{range .NetworkSettings.Networks}}{{.Gateway}} {{.IPAddress}}{{end}}";
    let said = docker(&["inspect", "-f", format, container]);
    let (gateway, address) = said.trim().split_once(' ').unwrap();
    (gateway.to_owned(), address.to_owned())
}

/// Addresses of this machine that are not loopback's; those of networks of other tests come and go.
fn own_addresses() -> Vec<String> {
    let said = run("ip", &["-json", "-4", "addr"], Path::new("/"));
    let links: Value = serde_json::from_str(&said).unwrap();
    let stays = |link: &&Value| !link["ifname"].as_str().unwrap().starts_with("br-");
    let links = links.as_array().unwrap().iter().filter(stays);
    let addresses = links.flat_map(|link| link["addr_info"].as_array().unwrap());
    let texts = addresses.map(|address| address["local"].as_str().unwrap().to_owned());
    texts.filter(|address| !address.starts_with("127.")).collect()
}

#[test]
fn from_inside_a_branch_only_the_proxys_ports_answer() {
    let mut world = World::new("walls", &[("compose.yaml", COMPOSE)]);
    // As where it is used: the proxy is open to everybody.
    let (https, plain) = world.open_proxy();
    for branch in ["walls/one", "walls/two"] {
        world.push(branch, &[("branch.txt", branch)]);
        world.reaches(branch, "ready");
    }
    PORTS.into_iter().for_each(listen);
    let foreign = Foreign::run();
    let published = foreign.0.as_str();
    let published_port = docker(&["port", published, "8080/tcp"]);
    let published_port = published_port.lines().next().unwrap().rsplit_once(':').unwrap().1.to_owned();

    let (inside, other) = (world.container("walls/one", "web"), world.container("walls/two", "web"));
    let ((gateway, own_address), (other_gateway, other_address)) = (network(&inside), network(&other));
    let name_of =
        |container: &str| docker(&["inspect", "-f", "{{slice .Name 1}}", container]).trim().to_owned();
    let at = |host: &str, port: &str| format!("{host}/{port}");
    let allowed = [
        at("db", "9000"),
        at("web", "8080"),
        at(&own_address, "8080"),
        at(&gateway, &https.to_string()),
        at(&gateway, &plain.to_string()),
    ];
    let mut refused = vec![
        at("169.254.169.254", "80"),
        at(&other_address, "8080"),
        at(&name_of(&other), "8080"),
        at(&other_gateway, "22"),
        at(&gateway, &published_port),
        at(network(published).1.as_str(), "8080"),
        at(&gateway, &world.http_port().to_string()),
    ];
    refused.extend(PORTS.iter().map(|port| at(&gateway, &port.to_string())));
    refused.extend(own_addresses().iter().map(|address| at(address, "9999")));
    // The probe can see what is open: from this machine it all is, but for the metadata address.
    let reached_from_here = refused.iter().filter(|target| {
        let (host, port) = target.split_once('/').unwrap();
        std::net::TcpStream::connect((host, port.parse().unwrap())).is_ok()
    });
    assert!(reached_from_here.count() >= PORTS.len() + 3);

    // Beside other tests an answer may be late; what is refused never comes.
    let all_allowed = || open(&inside, &allowed).len() == allowed.len();
    world.eventually("what is allowed answers", 60, all_allowed);
    assert_eq!(open(&inside, &refused), BTreeSet::new());
    for socket in ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"] {
        docker(&["exec", &inside, "busybox", "test", "!", "-e", socket]);
    }

    // Whoever reloads the machine's own firewall takes them down: they are put up again, at the latest after half a minute.
    let table = format!("drey_{}", world.ask("SELECT name FROM instance"));
    run("nft", &["delete", "table", "inet", &table], Path::new("/"));
    world.signal("HUP");
    world.eventually("the walls stand again", 20, || world.tables().contains(&table));
    assert_eq!(open(&inside, &refused), BTreeSet::new());
    world.eventually("what is allowed answers", 60, || open(&inside, &allowed).len() == allowed.len());

    drop(foreign);
    world.end_all();
    assert!(!world.tables().contains(&table), "and nothing of them is left");
}

#[test]
fn a_branch_has_one_group_and_leaves_none() {
    let mut world = World::new("group", &[("compose.yaml", COMPOSE)]);
    world.push("group/one", &[("branch.txt", "one")]);
    world.reaches("group/one", "ready");
    let parents: BTreeSet<String> = ["web", "db"]
        .iter()
        .map(|service| {
            docker(&["inspect", "-f", "{{.HostConfig.CgroupParent}}", &world.container("group/one", service)])
        })
        .collect();
    assert_eq!(parents.len(), 1, "{parents:?}");
    let parent = parents.first().unwrap().trim().to_owned();
    assert!(parent.contains("drey"), "{parent:?}");
    checker::is_whole(&world, "one environment", 30);
    world.end_all();
    assert_eq!(checker::groups().iter().filter(|group| parent.ends_with(*group)).count(), 0);
}

impl World {
    /// Names of all tables of the packet filter.
    pub(crate) fn tables(&self) -> String {
        run("nft", &["list", "tables"], Path::new("/"))
    }
}
