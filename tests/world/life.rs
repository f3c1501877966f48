//! The life of a branch behind a proxy: the same for each of them, wherever they run.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::harness::{DOMAIN, REPO, World};

const CRASHING: &str =
    "services: { web: { image: \"drey-demo/tiny:1\", command: [busybox, \"false\"], expose: [8080] } }\n";

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

/// The label of a branch's host.
pub(crate) fn slug(branch: &str) -> String {
    branch.replace('/', "-")
}

pub(crate) fn status(world: &World) -> Value {
    let text = world.drey(&["proxy", "status", "--json"]).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// What is looked at on the way.
pub(crate) struct Watch<'a> {
    /// The label of the host of a branch that gives back lines.
    pub(crate) echo: &'a dyn Fn(&str) -> String,
    /// Waits until the proxy leads to these branches, and to no other.
    pub(crate) leads_to: &'a dyn Fn(&[&str]),
    /// A visit has woken this branch.
    pub(crate) woken: &'a dyn Fn(&str),
}

/// The whole of it: made, seen, changed, asleep, woken, failed, archived; a tunnel to another branch lives through each of it. That
/// other branch, which goes on. Others run the same at this moment, and the engine tells branches apart by their names only:
/// they begin with `name`.
pub(crate) fn life(world: &World, name: &str, watch: &Watch<'_>) -> String {
    let Watch { echo, leads_to, woken } = watch;
    let [one, two, bad] = ["one", "two", "bad"].map(|branch| format!("{name}/{branch}"));
    let through = |what: &str, step: &dyn Fn()| {
        let mut tunnel = Tunnel::open(world, &echo(&two));
        assert!(tunnel.echoes("before"), "{what}");
        step();
        assert!(tunnel.echoes("after"), "a tunnel to another branch did not outlive this: {what}");
        assert_eq!(world.get(&slug(&two)).unwrap(), (200, "second\n".to_owned()), "{what}");
    };
    world.push(&two, &[("www/index.html", "second\n")]);
    world.reaches(&two, "ready");
    leads_to(&[&two]);
    world.serves(&slug(&two), "second");

    through("another branch", &|| {
        world.push(&one, &[("www/index.html", "first\n")]);
        world.reaches(&one, "ready");
        leads_to(&[&one, &two]);
        world.serves(&slug(&one), "first");
    });
    assert!(Tunnel::open(world, &echo(&one)).echoes("hello"));
    through("a redeployment", &|| {
        world.push(&one, &[("www/index.html", "changed\n")]);
        world.reaches(&one, "ready");
        world.serves(&slug(&one), "changed");
        leads_to(&[&one, &two]);
    });
    through("sleep", &|| {
        world.drey(&["env", "sleep", &format!("{REPO}/{one}")]).unwrap();
        world.eventually("it sleeps", 60, || world.environment(&one).unwrap()["phase"] == "asleep");
        leads_to(&[&two]);
    });
    // A visit wakes it, and is answered by what woke.
    through("waking", &|| {
        assert_eq!(world.get(&slug(&one)).unwrap(), (200, "changed\n".to_owned()));
        world.reaches(&one, "ready");
        leads_to(&[&one, &two]);
    });
    woken(&one);
    assert!(Tunnel::open(world, &echo(&one)).echoes("hello"));
    through("a failure", &|| {
        world.push(&bad, &[("compose.yaml", CRASHING)]);
        world.reaches(&bad, "failed");
        let (code, page) = world.get(&slug(&bad)).unwrap();
        assert!(code >= 500 && page.contains("did not start"), "{code}: {page}");
        leads_to(&[&one, &two]);
    });
    through("an end", &|| {
        world.git(&["push", "-q", "origin", "--delete", &one]);
        assert_eq!(world.archived(&one), "deleted");
        world.eventually("a page tells of it", 60, || {
            world.get(&slug(&one)).is_some_and(|(code, page)| code >= 400 && page.contains("archived"))
        });
        world.eventually("nothing is left of it, its network neither", 60, || world.things(&one).is_empty());
        leads_to(&[&two]);
    });
    let told = status(world);
    let put_aside = told["quarantined"].as_array().map_or(0, Vec::len);
    assert_eq!((&told["state"], put_aside), (&"serving".into(), 0), "{told}");
    two
}
