//! Canaries: values that must be found nowhere but where they belong.

use std::path::Path;
use std::process::{Command, Stdio};

use data_encoding::BASE64;

use crate::harness::{REPO, SECRET, World, docker, run};

/// Of the repository; long, so that nothing has it by chance.
const CANARY: &str = "canary-of-the-vault-7f3a91c2d4";
/// In the daemon's environment.
const OF_THE_DAEMON: &str = "canary-of-the-daemon-5b8e0a6f";

/// Serves what it was given as a check sum, and tells its secret to its log in two forms.
const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command:
      - busybox
      - sh
      - -c
      - "mkdir -p /tmp/www; busybox sha256sum < /run/secrets/CANARY > /tmp/www/index.html; \
         echo it is $$(busybox cat /run/secrets/CANARY); busybox base64 < /run/secrets/CANARY; \
         exec serve 8080 /tmp/www"
    expose: [8080]
    stop_signal: SIGKILL
  other: { image: "drey-demo/tiny:1", command: [serve, "9000", /], stop_signal: SIGKILL }
x-drey:
  secrets: { web: [CANARY] }
"#;

/// The canaries and how they may be disguised.
fn forms() -> Vec<String> {
    let mut forms = Vec::new();
    for canary in [CANARY, OF_THE_DAEMON, SECRET] {
        forms.push(canary.to_owned());
        forms.push(BASE64.encode(canary.as_bytes()).trim_end_matches('=').to_owned());
    }
    forms
}

fn is_clean(what: &str, text: &[u8]) {
    for form in forms() {
        let found = text.windows(form.len()).any(|window| window == form.as_bytes());
        assert!(!found, "{what} has {form}");
    }
}

pub(crate) fn set_secret(world: &World, value: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_drey"))
        .args(["--config", &world.path("drey.toml"), "secret", "set", REPO, "CANARY"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Command lines and environments of the daemon's children, and the command line of the daemon.
fn processes(world: &World) {
    let daemon = world.id().to_string();
    is_clean("the daemon's command line", &std::fs::read(format!("/proc/{daemon}/cmdline")).unwrap());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if parent == Some(daemon.as_str()) {
            for file in ["cmdline", "environ"] {
                let read = std::fs::read(entry.path().join(file)).unwrap_or_default();
                is_clean(&format!("{file} of a child"), &read);
            }
        }
    }
}

fn engine() {
    let ids = docker(&["ps", "-aq", "--filter", &format!("label=drey.repo={REPO}")]);
    let ids: Vec<&str> = ids.lines().collect();
    assert!(ids.len() >= 2, "{ids:?}");
    is_clean("docker inspect", docker(&[&["inspect"], &ids[..]].concat()).as_bytes());
    let images = docker(&["image", "ls", "-q"]);
    for image in images.lines().collect::<std::collections::BTreeSet<_>>() {
        // Others remove images at the same time.
        let told = Command::new("docker").args(["history", "--no-trunc", image]).output().unwrap();
        is_clean("an image's history", &told.stdout);
    }
}

/// Every file below the folder, archives unpacked; the configuration and the key apart, which are where secrets are kept.
fn files(world: &World) {
    for entry in walk(Path::new(&world.path("data"))) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        is_clean(&entry.display().to_string(), &bytes);
        if entry.to_string_lossy().ends_with(".tar.zst") {
            let unpacked = Command::new("zstd").args(["-dcq"]).arg(&entry).output().unwrap();
            assert!(unpacked.status.success(), "zstd");
            is_clean("an archive", &unpacked.stdout);
            let masked = b"it is ***";
            assert!(unpacked.stdout.windows(masked.len()).any(|window| window == masked), "the log is in it");
        }
    }
    is_clean("drey's own log", &std::fs::read(world.path("daemon.log")).unwrap());
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

fn answers(world: &World, branch: &str) {
    let name = format!("{REPO}/{branch}");
    for command in [
        &["env", "list", "--all", "--json"][..],
        &["env", "show", &name, "--json"],
        &["env", "log", &name],
        &["event", "list", "--json"],
        &["archive", "list", "--json"],
        &["repo", "list", "--json"],
        &["secret", "list", "--json"],
        &["token", "list", "--json"],
    ] {
        let told = world.drey(command).unwrap();
        is_clean(&command.join(" "), told.as_bytes());
    }
    for path in ["/metrics", "/readyz"] {
        let url = format!("http://{}{path}", world.address());
        is_clean(path, run("curl", &["-s", &url], Path::new("/")).as_bytes());
    }
}

#[test]
fn a_secret_is_where_it_belongs_and_nowhere_else() {
    let mut world = World::configured("canaries", &[("compose.yaml", COMPOSE)], "");
    world.end_all();
    world.spawn(&[("CANARY_OF_THE_DAEMON", OF_THE_DAEMON)]);
    world.eventually("the daemon answers", 30, || world.answers());

    world.push("canary/one", &[("one.txt", "one")]);
    let blocked = world.reaches("canary/one", "blocked");
    let reason = blocked["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("`drey secret set {REPO} CANARY` sets it")), "{reason}");

    set_secret(&world, CANARY);
    world.drey(&["env", "deploy", &format!("{REPO}/canary/one")]).unwrap();
    world.eventually("it is ready", 180, || {
        processes(&world);
        world.environment("canary/one").is_some_and(|it| it["phase"] == "ready")
    });
    let value = world.path("value");
    std::fs::write(&value, CANARY).unwrap();
    let expected = run("sha256sum", &[&value], Path::new("/"));
    world.serves("canary-one", expected.split(' ').next().unwrap());
    let other = world.container("canary/one", "other");
    let seen = Command::new("docker").args(["exec", &other, "ls", "/run/secrets"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&seen.stdout).contains("CANARY"), "it did not ask");

    world.drey(&["env", "sleep", &format!("{REPO}/canary/one")]).unwrap();
    world.eventually("it sleeps", 60, || world.environment("canary/one").unwrap()["phase"] == "asleep");
    let folder = |world: &World| {
        let instance = world.ask("SELECT name FROM instance");
        Path::new("/run/drey").join(instance)
    };
    world.eventually("nothing of it is there while it sleeps", 60, || walk(&folder(&world)).is_empty());
    world.drey(&["env", "wake", &format!("{REPO}/canary/one")]).unwrap();
    world.reaches("canary/one", "ready");
    world.serves("canary-one", expected.split(' ').next().unwrap());

    engine();
    processes(&world);
    answers(&world, "canary/one");
    world.drey(&["env", "archive", &format!("{REPO}/canary/one")]).unwrap();
    world.archived("canary/one");
    files(&world);
    answers(&world, "canary/one");
    assert_eq!(walk(&folder(&world)), Vec::<std::path::PathBuf>::new());
}
