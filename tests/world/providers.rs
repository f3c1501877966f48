//! A branch's life behind a proxy of the distribution: the same for each of them.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::harness::{DOMAIN, REPO, World};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/runtime:1
    command: [python3, /app/serve.py]
    expose: [8080]
    volumes: ["./www:/www", "./app:/app"]
"#;

/// Files, and with `Upgrade` an echo of bytes.
const SERVE: &str = r#"
import base64, hashlib, http.server, signal, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def __init__(self, *rest):
        super().__init__(*rest, directory="/www")
    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() != "websocket":
            return super().do_GET()
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while data := self.connection.recv(65536):
            self.connection.sendall(data)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"#;

/// An upgraded connection: each line goes there and back.
const TUNNEL: &str = r#"
import socket, ssl, sys
authority, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
raw = socket.create_connection(("127.0.0.1", port), timeout=30)
stream = ssl.create_default_context(cafile=authority).wrap_socket(raw, server_hostname=host)
stream.sendall(f"GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
reader = stream.makefile("rb")
print(reader.readline().split()[1].decode(), flush=True)
while reader.readline() not in (b"\r\n", b""):
    pass
for line in sys.stdin:
    stream.sendall(line.encode())
    print(reader.readline().decode().strip(), flush=True)
"#;

/// A tunnel to a branch, until it is dropped.
pub(crate) struct Tunnel {
    program: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Tunnel {
    pub(crate) fn open(world: &World, slug: &str) -> Self {
        let (https, _) = world.ports();
        let arguments = [world.path("ca.pem"), format!("{slug}.{DOMAIN}"), https.to_string()];
        let mut command = Command::new("python3");
        command.arg("-c").arg(TUNNEL).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let mut said = BufReader::new(program.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "101");
        Self { program, said }
    }

    pub(crate) fn echoes(&mut self, word: &str) -> bool {
        writeln!(self.program.stdin.as_mut().unwrap(), "{word}").is_ok()
            && self.said.next().is_some_and(|line| line.is_ok_and(|line| line == word))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

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

/// A proxy as the operator runs it: its file among those that drey writes, and what starts it. None: drey's own.
type Outside = Option<(&'static str, (&'static str, &'static [&'static str]))>;

/// A daemon with this proxy in front, both running.
fn with(name: &'static str, provider: &str, outside: Outside) -> (World, Option<Proxy>) {
    let files = [("compose.yaml", COMPOSE), ("app/serve.py", SERVE), ("www/index.html", "main\n")];
    let mut world = World::configured(name, &files, "");
    let Some((file, (program, arguments))) = outside else { return (world, None) };
    world.kill();
    let (gate, confirm, admin, directory) = (free(), free(), free(), world.path("proxy"));
    let own = |key: &str| format!("DREY__PROXY__{}__{key}", provider.to_uppercase());
    let (folder, user, confirms, admins) = (own("DIRECTORY"), own("USER"), own("CONFIRM"), own("ADMIN"));
    let mut variables = vec![
        ("DREY__PROXY__PROVIDER", provider),
        ("DREY__PROXY__GATE_LISTEN", gate.as_str()),
        (folder.as_str(), directory.as_str()),
    ];
    match provider {
        // The folder of a test is for its owner only.
        "nginx" => variables.extend([(user.as_str(), "root"), (confirms.as_str(), confirm.as_str())]),
        "caddy" => {
            variables.extend([(admins.as_str(), admin.as_str()), (confirms.as_str(), confirm.as_str())]);
        }
        _ => {}
    }
    world.spawn(&variables);
    world.eventually("the daemon answers", 30, || world.answers());
    let file = Path::new(&directory).join("current").join(file);
    world.eventually("a configuration is written", 30, || file.exists());
    let proxy = Proxy::start(program, arguments, &file);
    world.eventually("the proxy serves", 30, || status(&world)["state"] == "serving");
    (world, Some(proxy))
}

/// The whole of it: made, seen, changed, asleep, woken, failed, archived; a tunnel to another branch lives through each of it.
fn lives_behind(name: &'static str, provider: &str, outside: Outside) {
    let (world, proxy) = with(name, provider, outside);
    // Caddy leaves all to the gate; drey's own proxy is the gate.
    let straight = if matches!(provider, "caddy" | "embedded") { 0 } else { 1 };
    let leads_straight_to = |branches: u64| {
        let wanted = straight * branches;
        let leads = || outside.is_none() || status(&world)["direct"] == wanted;
        world.eventually(&format!("{wanted} lead straight to their containers"), 30, leads);
    };
    // Others run the same at this moment, and the engine tells branches apart by their names only.
    let [one, two, bad] = ["one", "two", "bad"].map(|branch| format!("{name}/{branch}"));
    let slug = |branch: &str| branch.replace('/', "-");
    let through = |what: &str, step: &dyn Fn()| {
        let mut tunnel = Tunnel::open(&world, &slug(&two));
        assert!(tunnel.echoes("before"), "{what}");
        step();
        assert!(tunnel.echoes("after"), "a tunnel to another branch did not outlive this: {what}");
        assert_eq!(world.get(&slug(&two)).unwrap(), (200, "second\n".to_owned()), "{what}");
    };

    world.push(&two, &[("www/index.html", "second\n")]);
    world.reaches(&two, "ready");
    world.serves(&slug(&two), "second");
    leads_straight_to(1);

    through("another branch", &|| {
        world.push(&one, &[("www/index.html", "first\n")]);
        world.reaches(&one, "ready");
        world.serves(&slug(&one), "first");
        leads_straight_to(2);
    });
    assert!(Tunnel::open(&world, &slug(&one)).echoes("hello"));

    through("a redeployment", &|| {
        world.push(&one, &[("www/index.html", "changed\n")]);
        world.reaches(&one, "ready");
        world.serves(&slug(&one), "changed");
        leads_straight_to(2);
    });

    through("sleep", &|| {
        world.drey(&["env", "sleep", &format!("{REPO}/{one}")]).unwrap();
        world.eventually("it sleeps", 60, || world.environment(&one).unwrap()["phase"] == "asleep");
        leads_straight_to(1);
    });
    // A visit wakes it, and is answered by what woke.
    through("waking", &|| {
        assert_eq!(world.get(&slug(&one)).unwrap(), (200, "changed\n".to_owned()));
        world.reaches(&one, "ready");
        leads_straight_to(2);
    });

    let crashing =
        "services: { web: { image: \"drey-demo/tiny:1\", command: [busybox, \"false\"], expose: [8080] } }\n";
    through("a failure", &|| {
        world.push(&bad, &[("compose.yaml", crashing)]);
        world.reaches(&bad, "failed");
        let (code, page) = world.get(&slug(&bad)).unwrap();
        assert!(code >= 500 && page.contains("did not start"), "{code}: {page}");
    });

    through("an end", &|| {
        world.git(&["push", "-q", "origin", "--delete", &one]);
        assert_eq!(world.archived(&one), "deleted");
        world.eventually("a page tells of it", 60, || {
            world.get(&slug(&one)).is_some_and(|(code, page)| code >= 400 && page.contains("archived"))
        });
        world.eventually("nothing is left of it", 60, || world.things(&one).is_empty());
    });
    let told = status(&world);
    let put_aside = told["quarantined"].as_array().map_or(0, Vec::len);
    assert_eq!((&told["state"], put_aside), (&"serving".into(), 0), "{told}");
    drop(proxy);
}

#[test]
fn a_branch_lives_behind_dreys_own_proxy() {
    lives_behind("embedded", "embedded", None);
}

#[test]
fn a_branch_lives_behind_nginx() {
    lives_behind("nginx", "nginx", Some(("nginx.conf", ("nginx", &["-g", "daemon off;", "-c"]))));
}

#[test]
fn a_branch_lives_behind_haproxy() {
    lives_behind("haproxy", "haproxy", Some(("haproxy.cfg", ("haproxy", &["-W", "-f"]))));
}

#[test]
fn a_branch_lives_behind_caddy() {
    lives_behind("caddy", "caddy", Some(("caddy.json", ("caddy", &["run", "--config"]))));
}
