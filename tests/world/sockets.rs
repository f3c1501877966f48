//! Listening sockets that outlive the daemon.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::harness::World;

/// Holds the sockets as a service manager does, and starts the daemon again whenever it ends.
const HOLDER: &str = r#"
import ctypes, os, signal, socket, subprocess, sys
names, ports, command = sys.argv[1].split(":"), sys.argv[2].split(":"), sys.argv[3:]
sockets = []
for port in ports:
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", int(port)))
    held.listen(4096)
    sockets.append(held)
def begin():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    copies = [os.dup2(held.fileno(), 100 + place) for place, held in enumerate(sockets)]
    for place, copy in enumerate(copies):
        os.dup2(copy, 3 + place)
        os.close(copy)
    os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(names))
    os.execvp(command[0], command)
while True:
    child = os.fork()
    if child == 0:
        begin()
    with open("child.pid.new", "w") as file:
        file.write(str(child))
    os.rename("child.pid.new", "child.pid")
    os.waitpid(child, 0)
"#;

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: ["serve", "9000", "/www"]
    ports: ["9000"]
"#;

#[test]
fn a_restart_refuses_nobody_where_the_sockets_are_held_by_another() {
    let mut world = World::new("sockets", &[("compose.yaml", COMPOSE)]);
    world.push("feature/x", &[("x", "1")]);
    world.reaches("feature/x", "ready");
    world.kill();
    let (https, plain) = world.ports();
    let mut holder = Command::new("python3");
    let ports = format!("{https}:{plain}:{}", world.http_port());
    holder.args(["-c", HOLDER, "https:http:drey.socket", &ports]);
    world.spawn_by(holder);
    world.eventually("the daemon answers", 30, || world.answers());
    world.eventually("the branch answers", 30, || {
        world.get("feature-x").is_some_and(|(status, _)| status == 200)
    });
    let (asked, failed, ended) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    if let Err(why) = ask(plain) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("not answered: {why}");
                    }
                }
            });
        }
        threads.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                if world.get("feature-x").is_none_or(|(status, _)| status != 200) {
                    failed.fetch_add(1, Ordering::Relaxed);
                    eprintln!("the branch did not answer");
                }
            }
        });
        for _ in 0..3 {
            let before = child(&world);
            assert!(Command::new("kill").args(["-TERM", &before]).status().unwrap().success());
            world.eventually("another daemon is there", 60, || child(&world) != before && world.answers());
        }
        ended.store(true, Ordering::Relaxed);
    });
    let (asked, failed) = (asked.into_inner(), failed.into_inner());
    println!("{asked} requests over 3 restarts, {failed} failed");
    assert_eq!(failed, 0, "of {asked}");
    assert!(asked > 500, "{asked}");
    world.kill();
    world.start();
    world.end_all();
}

fn child(world: &World) -> String {
    std::fs::read_to_string(world.path("child.pid")).unwrap_or_default()
}

/// One request on a connection of its own; the plain port answers it with a redirect.
fn ask(port: u16) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(told)?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(told)?;
    let request = "GET / HTTP/1.1\r\nHost: feature-x.world.localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    if answer.starts_with("HTTP/1.1 308") { Ok(()) } else { Err(format!("{answer:?}")) }
}
