//! A branch's life behind a proxy of the distribution: the same for each of them.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{REPO, World};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /www]
    expose: [8080]
    volumes: ["./www:/www"]
"#;

/// Started as the operator does, ended with all its workers.
struct Proxy(Child);

impl Proxy {
    fn start(program: &str, arguments: &[&str], file: &Path) -> Self {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(program);
        command.args(arguments).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.process_group(0).spawn().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status().ok();
        self.0.wait().ok();
    }
}

fn free() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn status(world: &World) -> Value {
    world
        .drey(&["proxy", "status", "--json"])
        .ok()
        .and_then(|it| serde_json::from_str(&it).ok())
        .unwrap_or_default()
}

/// The whole of it: made, seen, changed, asleep, woken, failed, archived.
fn lives_behind(name: &'static str, provider: &str, file: &str, (program, arguments): (&str, &[&str])) {
    let files = [("compose.yaml", COMPOSE), ("www/index.html", "main\n")];
    let mut world = World::configured(name, &files, "");
    world.kill();
    let (gate, confirm, directory) = (free(), free(), world.path("proxy"));
    let own = |key: &str| format!("DREY__PROXY__{}__{key}", provider.to_uppercase());
    let (folder, user, confirms) = (own("DIRECTORY"), own("USER"), own("CONFIRM"));
    let mut variables = vec![
        ("DREY__PROXY__PROVIDER", provider),
        ("DREY__PROXY__GATE_LISTEN", gate.as_str()),
        (folder.as_str(), directory.as_str()),
    ];
    let (admin, admins) = (free(), own("ADMIN"));
    match provider {
        // The folder of a test is for its owner only.
        "nginx" => variables.extend([(user.as_str(), "root"), (confirms.as_str(), confirm.as_str())]),
        "caddy" => {
            variables.extend([(admins.as_str(), admin.as_str()), (confirms.as_str(), confirm.as_str())]);
        }
        _ => {}
    }
    // Caddy leaves all to the gate.
    let direct = if provider == "caddy" { 0 } else { 2 };
    world.spawn(&variables);
    world.eventually("the daemon answers", 30, || world.answers());
    let file = Path::new(&directory).join("current").join(file);
    world.eventually("a configuration is written", 30, || file.exists());
    let proxy = Proxy::start(program, arguments, &file);
    world.eventually("the proxy serves", 30, || status(&world)["state"] == "serving");

    // Others run the same at this moment, and the engine tells branches apart by their names only.
    let [one, two, bad] = ["one", "two", "bad"].map(|branch| format!("{name}/{branch}"));
    let slug = |branch: &str| branch.replace('/', "-");
    world.push(&one, &[("www/index.html", "first\n")]);
    world.push(&two, &[("www/index.html", "second\n")]);
    world.reaches(&one, "ready");
    world.reaches(&two, "ready");
    world.serves(&slug(&one), "first");
    world.serves(&slug(&two), "second");
    world.eventually("both lead straight to their containers", 30, || status(&world)["direct"] == direct);

    world.push(&one, &[("www/index.html", "changed\n")]);
    world.reaches(&one, "ready");
    world.serves(&slug(&one), "changed");
    assert_eq!(world.get(&slug(&two)).unwrap(), (200, "second\n".to_owned()));

    world.eventually("both lead straight there", 30, || status(&world)["direct"] == direct);
    world.drey(&["env", "sleep", &format!("{REPO}/{one}")]).unwrap();
    world.eventually("it sleeps", 60, || world.environment(&one).unwrap()["phase"] == "asleep");
    let others = direct / 2;
    world.eventually("the proxy knows that it sleeps", 30, || status(&world)["direct"] == others);
    // A visit wakes it, and is answered by what woke.
    assert_eq!(world.get(&slug(&one)).unwrap(), (200, "changed\n".to_owned()));
    world.reaches(&one, "ready");
    world.eventually("it leads straight there again", 30, || status(&world)["direct"] == direct);

    let crashing =
        "services: { web: { image: \"drey-demo/tiny:1\", command: [busybox, \"false\"], expose: [8080] } }\n";
    world.push(&bad, &[("compose.yaml", crashing)]);
    world.reaches(&bad, "failed");
    let (code, page) = world.get(&slug(&bad)).unwrap();
    assert!(code >= 500 && page.contains("did not start"), "{code}: {page}");

    world.git(&["push", "-q", "origin", "--delete", &one]);
    assert_eq!(world.archived(&one), "deleted");
    world.eventually("a page tells of it", 60, || {
        world.get(&slug(&one)).is_some_and(|(code, page)| code >= 400 && page.contains("archived"))
    });
    world.eventually("nothing is left of it", 60, || world.things(&one).is_empty());
    assert_eq!(world.get(&slug(&two)).unwrap(), (200, "second\n".to_owned()));
    let told = status(&world);
    assert_eq!(
        (&told["state"], &told["quarantined"]),
        (&"serving".into(), &Value::Array(Vec::new())),
        "{told}"
    );
    drop(proxy);
}

#[test]
fn a_branch_lives_behind_nginx() {
    lives_behind("nginx", "nginx", "nginx.conf", ("nginx", &["-g", "daemon off;", "-c"]));
}

#[test]
fn a_branch_lives_behind_haproxy() {
    lives_behind("haproxy", "haproxy", "haproxy.cfg", ("haproxy", &["-W", "-f"]));
}

#[test]
fn a_branch_lives_behind_caddy() {
    lives_behind("caddy", "caddy", "caddy.json", ("caddy", &["run", "--config"]));
}
