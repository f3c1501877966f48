//! An engine of a test's own, that may be restarted and killed: nobody else is on it.
//!
//! It lives in a network of its own, with the test and all that it starts: two engines would quarrel over one machine's
//! packet filter. So the test runs once more, inside.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{bounded_to, docker, run};

/// The folder of the engine, for a test that runs inside.
const FOLDER: &str = "DREY_OWN_ENGINE";
/// Seconds until it answers, or has ended.
const WITHIN: u64 = 60;
/// Seconds that the test inside may take.
const INSIDE: u32 = 1_400;

pub(crate) struct Engine {
    folder: PathBuf,
    daemon: Child,
    has_disk: bool,
}

impl Engine {
    /// As [`Self::of`], with a disk of its own, of so many MiB.
    pub(crate) fn with_disk(test: &str, mib: u32) -> Option<Self> {
        if let Ok(folder) = std::env::var(FOLDER) {
            let path = |name: &str| Path::new(&folder).join(name).to_string_lossy().into_owned();
            run("truncate", &["-s", &format!("{mib}M"), &path("disk")], Path::new("/"));
            run("mkfs.ext4", &["-q", &path("disk")], Path::new("/"));
            std::fs::create_dir(path("data")).unwrap();
            run("mount", &["-o", "loop", &path("disk"), &path("data")], Path::new("/"));
        }
        let mut engine = Self::of(test)?;
        engine.has_disk = true;
        Some(engine)
    }

    /// Inside: the engine. Outside: nothing, after the test of this name was run inside and passed.
    pub(crate) fn of(test: &str) -> Option<Self> {
        if let Ok(folder) = std::env::var(FOLDER) {
            return Some(Self::inside(Path::new(&folder)));
        }
        let folder = tempfile::Builder::new().prefix("drey-engine-").tempdir().unwrap();
        let image = folder.path().join("tiny.tar");
        docker(&["save", "drey-demo/tiny:1", "-o", &image.to_string_lossy()]);
        let status = bounded_to(INSIDE, "unshare")
            .arg("--net")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FOLDER, folder.path())
            .env("DOCKER_HOST", format!("unix://{}", folder.path().join("docker.sock").display()))
            .status()
            .unwrap();
        assert!(status.success(), "{test} failed inside");
        None
    }

    fn inside(folder: &Path) -> Self {
        run("ip", &["link", "set", "lo", "up"], Path::new("/"));
        let mut engine = Self { folder: folder.to_owned(), daemon: spawn(folder), has_disk: false };
        engine.wait();
        docker(&["load", "-q", "-i", &folder.join("tiny.tar").to_string_lossy()]);
        engine
    }

    /// Ends it as an administrator would, which stops the containers, or kills it alone, and starts it again.
    pub(crate) fn restart(&mut self, gently: bool) {
        self.end(if gently { Signal::TERM } else { Signal::KILL });
        self.daemon = spawn(&self.folder);
        self.wait();
    }

    fn end(&mut self, signal: Signal) {
        let id = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(id, signal).unwrap();
        let begin = Instant::now();
        while self.daemon.try_wait().unwrap().is_none() {
            if begin.elapsed() > Duration::from_secs(WITHIN) {
                self.daemon.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait(&mut self) {
        let begin = Instant::now();
        let answers =
            || bounded_to(10, "docker").arg("version").output().is_ok_and(|output| output.status.success());
        while !answers() {
            let log = self.folder.join("log");
            assert!(
                begin.elapsed() < Duration::from_secs(WITHIN) && self.daemon.try_wait().unwrap().is_none(),
                "the engine does not start: {}",
                std::fs::read_to_string(log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end(Signal::TERM);
        if self.has_disk {
            run("umount", &["-l", &self.folder.join("data").to_string_lossy()], Path::new("/"));
        }
    }
}

fn spawn(folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    Command::new("dockerd")
        .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
        .args(["--host", &format!("unix://{}", path("docker.sock"))])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
