//! A branch's life behind a proxy of the distribution: the same for each of them.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::World;
use crate::life::{Watch, life, slug, status};

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

fn lives_behind(name: &'static str, provider: &str, outside: Outside) {
    let (world, proxy) = with(name, provider, outside);
    // Caddy leaves all to the gate; drey's own proxy is the gate.
    let straight = if matches!(provider, "caddy" | "embedded") { 0 } else { 1 };
    let leads_to = |branches: &[&str]| {
        let wanted = straight * branches.len();
        let leads = || outside.is_none() || status(&world)["direct"] == wanted;
        world.eventually(&format!("{wanted} lead straight to their containers"), 30, leads);
    };
    life(&world, name, &Watch { echo: &slug, leads_to: &leads_to, woken: &|_| {} });
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
