//! A disk that is full while an archive is written.

use std::path::Path;

use serde_json::Value;

use crate::checker;
use crate::harness::{REPO, World, docker, run};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /data]
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
volumes:
  data: {}
"#;

/// More than the disk has, and nothing that compresses.
const FILL: &str = "busybox head -c 12000000 /dev/urandom > /data/blob; echo kept > /data/index.html; \
                    busybox sha256sum /data/blob";

/// A file system of its own size at a path, until it is dropped.
pub(crate) struct Disk(String);

impl Disk {
    fn mount(path: String) -> Self {
        Self::mount_sized(path, "8m")
    }

    pub(crate) fn mount_sized(path: String, size: &str) -> Self {
        run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs", &path],
            Path::new("/"),
        );
        Self(path)
    }

    fn grow(&self) {
        run("mount", &["-o", "remount,size=200m", &self.0], Path::new("/"));
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0], Path::new("/"));
    }
}

/// Phase `failed`, and why; the containers are there and stopped, and nothing half is on the disk.
fn is_kept_stopped(world: &World, disk: &Disk) {
    let failed = |environment: &Value| environment["phase"] == "failed";
    world.eventually("it is told", 60, || world.environment("full").is_some_and(|it| failed(&it)));
    let reason = world.environment("full").unwrap()["reason"].as_str().unwrap().to_owned();
    for words in ["disk is full", "No space left", "stays", "tried again in 15 s"] {
        assert!(reason.contains(words), "{reason}");
    }
    let web = world.container("full", "web");
    assert_eq!(docker(&["inspect", "-f", "{{.State.Status}}", &web]).trim(), "exited");
    assert!(disk.files().is_empty(), "{:?}", disk.files());
    assert_eq!(world.things("full").len(), 3, "container, network, volume");
    let archives: Value = serde_json::from_str(&world.drey(&["archive", "list", "--json"]).unwrap()).unwrap();
    assert_eq!(archives["items"], serde_json::json!([]));
}

#[test]
fn a_full_disk_keeps_the_environment_until_there_is_room() {
    let mut world = World::new("full", &[("compose.yaml", COMPOSE)]);
    world.kill();
    let disk = Disk::mount(world.path("data/archives"));
    world.start();
    world.push("full", &[("one.txt", "full")]);
    world.reaches("full", "ready");
    let web = world.container("full", "web");
    let before = docker(&["exec", &web, "busybox", "sh", "-c", FILL]);
    world.drey(&["env", "archive", &format!("{REPO}/full")]).unwrap();
    is_kept_stopped(&world, &disk);

    // Whoever wants it to run gets it back as it was.
    world.drey(&["env", "deploy", &format!("{REPO}/full")]).unwrap();
    world.reaches("full", "ready");
    world.serves("full", "kept");
    world.drey(&["env", "archive", &format!("{REPO}/full")]).unwrap();
    is_kept_stopped(&world, &disk);
    world.push("full", &[("two.txt", "pushed")]);
    world.reaches("full", "ready");
    world.drey(&["env", "archive", &format!("{REPO}/full")]).unwrap();
    is_kept_stopped(&world, &disk);

    // With room it gets through by itself.
    disk.grow();
    assert_eq!(world.archived("full"), "manual");
    world.eventually("nothing is left", 20, || world.things("full").is_empty());
    let file = disk.files().pop().unwrap();
    let id = file.strip_suffix(".tar.zst").unwrap();
    world.drey(&["archive", "verify", id]).unwrap();
    let blob = world.path("blob");
    world.drey(&["archive", "extract", id, "volumes/data/blob", &blob]).unwrap();
    let after = run("sha256sum", &[&blob], Path::new("/"));
    assert_eq!(before.split(' ').next(), after.split(' ').next());
    checker::is_whole(&world, "with room again", 20);
    world.kill();
}
