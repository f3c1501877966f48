//! A branch's life behind a proxy in a container that has a network of its own: it is put on the networks of branches that
//! are ready, and on no other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{REPO, World, docker, free_port};
use crate::life::{Watch, life, slug, status};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /www]
    expose: [8080]
    volumes: ["./www:/www"]
  echo:
    image: drey-demo/tiny:1
    command: [busybox, nc, -ll, -p, "9000", -e, /bin/sh, /www/echo]
    expose: [9000]
    stop_signal: SIGKILL
    volumes: ["./www:/www"]
"#;
/// Takes every upgrade, and gives back each line.
const ECHO: &str = r#"while read -r line; do [ "$(printf %s "$line" | tr -d '\r')" = "" ] && break; done
printf 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
printf 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'
while read -r line; do printf '%s\n' "$line"; done
"#;

/// The proxy's own container and network, as a team starts them; both gone with it.
struct Edge {
    name: String,
    directory: String,
    command: Vec<String>,
    /// This machine's address on its network, as which visitors come who come from here.
    gateway: String,
    /// Where drey listens for it.
    gate: String,
}

impl Edge {
    /// The network only.
    fn new(name: &str, directory: &str) -> Self {
        let name = format!("world-edge-{name}");
        let (directory, command) = (directory.to_owned(), Vec::new());
        let mut edge = Self { name, directory, command, gateway: String::new(), gate: String::new() };
        edge.clear();
        docker(&["network", "create", &edge.name]);
        let gateway = docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", &edge.name]);
        gateway.trim().clone_into(&mut edge.gateway);
        edge.gate = format!("{}:{}", edge.gateway, free_port());
        edge
    }

    /// As it has to be.
    fn start(&self, world: &World) {
        let mount = format!("{0}:{0}", self.directory);
        self.run(world, &["--sysctl", "net.ipv4.ip_forward=0", "-v", &mount]);
    }

    /// In place of the one that is there.
    fn run(&self, world: &World, options: &[&str]) {
        docker(&["rm", "-f", &self.name]);
        let (https, plain) = world.ports();
        let published = [https, plain].map(|port| format!("127.0.0.1:{port}:{port}"));
        let mut arguments =
            vec!["run", "-d", "--name", &self.name, "--network", &self.name, "--restart", "unless-stopped"];
        arguments.extend(["-p", published[0].as_str(), "-p", published[1].as_str()]);
        arguments.extend(options);
        arguments.push("drey-demo/proxies:1");
        arguments.extend(self.command.iter().map(String::as_str));
        docker(&arguments);
    }

    /// Networks of branches that it is on.
    fn joined(&self) -> BTreeSet<String> {
        let format = "{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{end}}";
        let all = docker(&["inspect", "-f", format, &self.name]);
        all.split_whitespace().filter(|name| *name != self.name).map(str::to_owned).collect()
    }

    fn clear(&self) {
        docker(&["rm", "-f", &self.name]);
        let there = docker(&["network", "ls", "-q", "--filter", &format!("name=^{}$", self.name)]);
        if !there.is_empty() {
            docker(&["network", "rm", &self.name]);
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        std::process::Command::new("docker").args(["rm", "-f", &self.name]).output().ok();
        std::process::Command::new("docker").args(["network", "rm", &self.name]).output().ok();
    }
}

fn tells(world: &World, text: &str) {
    world.eventually(&format!("it is told that {text}"), 60, || {
        status(world)["error"].as_str().is_some_and(|error| error.contains(text))
    });
}

fn networks(world: &World, branches: &[&str]) -> BTreeSet<String> {
    let name = |branch: &&str| {
        let id = world.container(branch, "web");
        let format = "{{range $name, $it := .NetworkSettings.Networks}}{{$name}}{{end}}";
        docker(&["inspect", "-f", format, &id]).trim().to_owned()
    };
    branches.iter().map(name).collect()
}

/// A daemon that drives this proxy, which nobody has started yet.
fn driving(name: &'static str, provider: &str, (command, file): (&[&str], Option<&str>)) -> (World, Edge) {
    let files = [("compose.yaml", COMPOSE), ("www/index.html", "main\n"), ("www/echo", ECHO)];
    let mut world = World::configured(name, &files, "");
    world.kill();
    let directory = world.path("proxy");
    let mut edge = Edge::new(name, &directory);
    edge.command = command.iter().map(|word| (*word).to_owned()).collect();
    edge.command.extend(file.map(|file| format!("{directory}/current/{file}")));
    let own = |key: &str| format!("DREY__PROXY__{}__{key}", provider.to_uppercase());
    let (https, plain) = world.ports();
    let (https, plain) = (format!("0.0.0.0:{https}"), format!("0.0.0.0:{plain}"));
    let (folder, container, user) = (own("DIRECTORY"), own("CONTAINER"), own("USER"));
    let mut variables = vec![
        ("DREY__PROXY__PROVIDER", provider),
        ("DREY__PROXY__GATE_LISTEN", edge.gate.as_str()),
        ("DREY__PROXY__HTTPS", https.as_str()),
        ("DREY__PROXY__HTTP", plain.as_str()),
        ("DREY__DEFAULTS__ACCESS", "open"),
        (folder.as_str(), directory.as_str()),
        (container.as_str(), edge.name.as_str()),
    ];
    if provider == "nginx" {
        // The folder of a test is for its owner only.
        variables.push((user.as_str(), "root"));
    }
    world.spawn(&variables);
    world.eventually("the daemon answers", 30, || world.answers());
    (world, edge)
}

/// Of the service that gives back lines.
fn echo(branch: &str) -> String {
    format!("{}--echo", slug(branch))
}

/// Waits until the proxy is on the networks of exactly these.
fn is_on(world: &World, edge: &Edge, branches: &[&str]) {
    let wanted = networks(world, branches);
    world.eventually(&format!("the proxy is on {wanted:?}"), 60, || edge.joined() == wanted);
    let told = || status(world)["container"]["joined"].as_array().cloned().unwrap_or_default();
    let told_as_it_is = || told().iter().filter_map(Value::as_str).eq(wanted.iter().map(String::as_str));
    world.eventually("it is told so", 30, told_as_it_is);
}

/// `direct`: hosts of one branch that lead straight there.
fn lives(world: &World, edge: &Edge, name: &str, direct: usize) -> String {
    let leads_to = |branches: &[&str]| {
        let hosts = direct * branches.len();
        world.eventually(&format!("{hosts} lead straight there"), 30, || status(world)["direct"] == hosts);
        is_on(world, edge, if direct == 0 { &[] } else { branches });
    };
    // The visit that woke it was the gate's, which believes this proxy who it was.
    let woken = |branch: &str| {
        let log = || world.drey(&["env", "log", "--access", &format!("{REPO}/{branch}")]).unwrap_or_default();
        let client = format!("\"client\":\"{}\"", edge.gateway);
        world.eventually("the log has the visitor, not the proxy", 30, || log().contains(&client));
    };
    life(world, name, &Watch { echo: &echo, leads_to: &leads_to, woken: &woken })
}

/// From inside of a branch: the mark of what serves, where it is told, and nothing else of proxy and gate.
fn sees_little(world: &World, edge: &Edge, branch: &str) {
    let web = world.container(branch, "web");
    let network = networks(world, &[branch]).pop_first().unwrap();
    let format = format!("{{{{(index .NetworkSettings.Networks {network:?}).IPAddress}}}}");
    let proxy = docker(&["inspect", "-f", &format, &edge.name]);
    let ask = |(host, port): (&str, &str), path: &str| {
        let command =
            format!("printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 3 {host} {port} || true");
        docker(&["exec", &web, "sh", "-c", &command])
    };
    let mark = status(world)["generation"].as_str().unwrap().to_owned();
    let confirm = (proxy.trim(), "8422");
    let told = ask(confirm, "/generation");
    assert!(told.ends_with(&mark) && told.starts_with("HTTP/1.1 200"), "{told}");
    let other = ask(confirm, "/");
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    let gate = ask(edge.gate.rsplit_once(':').unwrap(), "/");
    assert!(!gate.contains("HTTP/"), "{gate}");
}

/// Somebody put it on the network of a branch that it does not lead to, and took it off one that it does.
fn is_put_right(world: &World, edge: &Edge, (needed, needless): (&str, &str)) {
    world.push(needless, &[("www/index.html", "asleep\n")]);
    world.reaches(needless, "ready");
    world.drey(&["env", "sleep", &format!("{REPO}/{needless}")]).unwrap();
    world.eventually("it sleeps", 60, || world.environment(needless).unwrap()["phase"] == "asleep");
    is_on(world, edge, &[needed]);
    let label = format!("label=drey.branch={needless}");
    let other = docker(&["network", "ls", "--format", "{{.Name}}", "--filter", &label]);
    docker(&["network", "connect", other.trim(), &edge.name]);
    let network = networks(world, &[needed]).pop_first().unwrap();
    docker(&["network", "disconnect", &network, &edge.name]);
    is_on(world, edge, &[needed]);
    world.serves(&slug(needed), "second");
    let told = world.drey(&["proxy", "status"]).unwrap();
    assert!(told.contains(&format!("{} (running)", edge.name)) && told.contains(&network), "{told}");
}

fn serves(world: &World) {
    world.eventually("the proxy serves", 60, || status(world)["state"] == "serving");
}

#[test]
fn a_branch_lives_behind_nginx_in_a_container_whatever_becomes_of_that() {
    let (world, mut edge) = driving("boxed-nginx", "nginx", (&["sleep", "600"], None));
    tells(&world, "container world-edge-boxed-nginx: is not there");
    edge.run(&world, &[]);
    tells(&world, "proxy is not mounted in it");
    let file = format!("{}/current/nginx.conf", edge.directory);
    edge.command = ["nginx", "-g", "daemon off;", "-c", &file].map(str::to_owned).to_vec();
    edge.start(&world);
    serves(&world);
    let two = lives(&world, &edge, "boxed-nginx", 2);
    sees_little(&world, &edge, &two);
    is_put_right(&world, &edge, (&two, "boxed-nginx/three"));

    // One that is frozen, ended, begun again, made anew.
    docker(&["pause", &edge.name]);
    tells(&world, "is paused");
    docker(&["unpause", &edge.name]);
    serves(&world);
    docker(&["stop", "-t", "1", &edge.name]);
    tells(&world, "does not run");
    world.eventually("it is on no network of a branch", 30, || edge.joined().is_empty());
    docker(&["start", &edge.name]);
    serves(&world);
    is_on(&world, &edge, &[&two]);
    world.serves(&slug(&two), "second");

    // A router between branches is put on no network of them, and they are reached through the gate.
    let mount = format!("{0}:{0}", edge.directory);
    edge.run(&world, &["-v", &mount]);
    let reason = || status(&world)["quarantined"][0]["reason"].to_string();
    world.eventually("it is told what would be open", 60, || reason().contains("net.ipv4.ip_forward=0"));
    assert!(edge.joined().is_empty());
    world.serves(&slug(&two), "second");
    edge.start(&world);
    is_on(&world, &edge, &[&two]);
    world.serves(&slug(&two), "second");
}

#[test]
fn a_branch_lives_behind_haproxy_in_a_container() {
    let (world, edge) = driving("boxed-haproxy", "haproxy", (&["haproxy", "-W", "-f"], Some("haproxy.cfg")));
    edge.start(&world);
    serves(&world);
    lives(&world, &edge, "boxed-haproxy", 2);
}

#[test]
fn a_branch_lives_behind_caddy_in_a_container_which_is_on_no_network_of_branches() {
    let (world, edge) = driving("boxed-caddy", "caddy", (&["caddy", "run", "--config"], Some("caddy.json")));
    edge.start(&world);
    serves(&world);
    // Caddy leaves all to the gate.
    lives(&world, &edge, "boxed-caddy", 0);
    let admin = docker(&["exec", &edge.name, "cat", "/proc/net/tcp", "/proc/net/tcp6"]);
    assert!(!admin.contains(":07E3 "), "2019 is listened on: {admin}");
}
