//! What is kept of a branch, and how it comes back.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::harness::{REPO, World, docker, run};

/// Two services with a volume each; the page is served out of one.
const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [busybox, sh, -c, "test -e /data/index.html || echo first > /data/index.html; exec serve 8080 /data"]
    expose: [8080]
    stop_signal: SIGKILL
    volumes: ["data:/data", "memory:/memory"]
  db:
    image: drey-demo/tiny:1
    command: [serve, "9000", /]
    stop_signal: SIGKILL
    volumes: ["rows:/rows"]
volumes:
  data: {}
  rows: {}
  memory: { driver_opts: { type: tmpfs, device: tmpfs } }
"#;

/// A thousand files with odd owners, modes, links, holes and names.
const ODD: &str = r#"
cd /data
for i in $(busybox seq 1 240); do
  d="d$((i % 7))/sub dir"; busybox mkdir -p "$d"
  busybox head -c $((i * 37)) /dev/urandom > "$d/f$i"
  busybox chown $i:$((i * 100)) "$d/f$i"; busybox chmod $(busybox printf '%o' $((i % 512 + 2048 * (i % 2)))) "$d/f$i"
  busybox ln "$d/f$i" "$d/hard$i"; busybox ln -s "f$i" "$d/soft$i"
  echo "$i" > "$d/größe-$i-$(busybox printf 'x%.0s' $(busybox seq 1 120))"
  busybox touch -d "@$((1500000000 + i))" "$d/f$i"
done
busybox ln -s /etc/passwd out; busybox mkfifo pipe; busybox mkdir -m 1777 empty
busybox dd if=/dev/zero of=sparse bs=1 count=1 seek=67108864 2>/dev/null
echo in-the-middle | busybox dd of=sparse bs=1 seek=30000000 conv=notrunc 2>/dev/null
echo "$(busybox printf 'no\377utf8')" > "$(busybox printf 'no\377utf8')"
busybox touch -d @1600000000 d0 empty .
"#;

/// Everything that must come back, one line a file.
const LIST: &str = "cd /data; { busybox find . -exec busybox stat -c '%n %F %a %u %g %h %Y' {} + ; \
                    busybox find . -type f -exec busybox sha256sum {} + ; \
                    busybox find . -type l -exec busybox readlink {} ';' ; } | busybox sort";

fn shell(world: &World, branch: &str, script: &str) -> String {
    docker(&["exec", &world.container(branch, "web"), "busybox", "sh", "-c", script])
}

/// Waits for the branch's archive; its id.
fn archive(world: &World, branch: &str) -> String {
    world.archived(branch);
    // The archive is there a moment before its environment is over, and gives its address back only then.
    let is_over = || world.environment(branch).is_some_and(|it| it["phase"] == "archived");
    world.eventually("it is over", 20, is_over);
    let listed = world.drey(&["archive", "list", "--json"]).unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let mut items = listed["items"].as_array().unwrap().iter();
    items.find(|item| item["branch"] == branch).unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_restored_branch_has_its_address_and_every_byte_back() {
    every_byte_comes_back(&World::new("restored", &[("compose.yaml", COMPOSE)]), "whole");
}

#[test]
fn the_engine_gives_every_byte_back_too() {
    let files = [("compose.yaml", COMPOSE)];
    every_byte_comes_back(&World::configured("carried", &files, "[archive]\ndirect = false\n"), "carried");
}

fn every_byte_comes_back(world: &World, word: &str) {
    let (branch, slug) = (format!("kept/{word}"), format!("kept-{word}"));
    world.push(&branch, &[("one.txt", "kept")]);
    world.reaches(&branch, "ready");
    shell(world, &branch, ODD);
    shell(world, &branch, "echo second > /data/index.html");
    let before = shell(world, &branch, LIST);
    assert!(before.lines().count() > 1500, "{}", before.lines().count());
    world.drey(&["env", "archive", &format!("{REPO}/{branch}")]).unwrap();
    let id = archive(world, &branch);
    world.eventually("nothing is left", 20, || world.things(&branch).is_empty());

    world.drey(&["archive", "verify", &id]).unwrap();
    let told = world.drey(&["archive", "restore", &id, "--wait"]).unwrap();
    assert!(told.contains(&format!("https://{slug}.world.localhost")), "{told}");
    let after = shell(world, &branch, LIST);
    let differing = before.lines().zip(after.lines()).find(|(before, after)| before != after);
    assert_eq!((differing, after.lines().count()), (None, before.lines().count()));
    world.serves(&slug, "second");
    let volume = docker(&["volume", "ls", "-q"]);
    let volume = volume.lines().find(|name| name.ends_with(&format!("{slug}_data"))).unwrap();
    let folder = docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", volume]);
    let sparse = std::fs::metadata(Path::new(folder.trim()).join("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "{} blocks", sparse.blocks());

    // Neither the merge that is past nor the branch that is gone ends it; a person does.
    world.git(&["push", "-q", "origin", &format!(":{branch}")]);
    world.push(&format!("{branch}-other"), &[("two.txt", "other")]);
    world.reaches(&format!("{branch}-other"), "ready");
    assert_eq!(world.environment(&branch).unwrap()["phase"], "ready");
    world.drey(&["env", "destroy", &format!("{REPO}/{branch}")]).unwrap();
    world.eventually("nothing is left", 20, || world.things(&branch).is_empty());
    world.drey(&["archive", "verify", &id]).unwrap();
}

#[test]
fn a_branch_that_lives_again_leaves_its_archive_the_next_address() {
    let world = World::new("beside", &[("compose.yaml", COMPOSE)]);
    world.push("kept/twice", &[("one.txt", "kept")]);
    world.reaches("kept/twice", "ready");
    shell(&world, "kept/twice", "echo old > /data/index.html");
    world.drey(&["env", "archive", &format!("{REPO}/kept/twice")]).unwrap();
    let id = archive(&world, "kept/twice");
    world.push("kept/twice", &[("two.txt", "again")]);
    world.reaches("kept/twice", "ready");
    world.serves("kept-twice", "first");

    let told = world.drey(&["archive", "restore", &id, "--wait", "--json"]).unwrap();
    let restored: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(restored["branch"], format!("kept/twice@{id}"));
    assert_eq!(restored["restored_from"], id.as_str());
    world.serves(restored["slug"].as_str().unwrap(), "old");
    world.serves("kept-twice", "first");
    let again = world.drey(&["archive", "restore", &id]).unwrap();
    assert!(again.contains("restored already"), "{again}");
}

#[test]
fn a_part_comes_out_as_files_and_nothing_is_overwritten() {
    let world = World::new("extracted", &[("compose.yaml", COMPOSE)]);
    world.push("kept/part", &[("one.txt", "kept")]);
    world.reaches("kept/part", "ready");
    shell(&world, "kept/part", "mkdir /data/d; echo inside > /data/d/f; ln -s /etc/passwd /data/d/out");
    world.drey(&["env", "archive", &format!("{REPO}/kept/part")]).unwrap();
    let id = archive(&world, "kept/part");
    let (file, folder) = (world.path("file"), world.path("folder"));
    world.drey(&["archive", "extract", &id, "volumes/data/d/f", &file]).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "inside\n");
    let error = world.drey(&["archive", "extract", &id, "volumes/data/d/f", &file]).unwrap_err();
    assert!(error.contains("is there already"), "{error}");
    let error = world.drey(&["archive", "extract", &id, "volumes/data", &folder]).unwrap_err();
    assert!(error.contains("left out") && error.contains("data/d/out"), "{error}");
    assert_eq!(run("ls", &[&format!("{folder}/d")], Path::new("/")).trim(), "f");
    let error = world.drey(&["archive", "extract", &id, "volumes/none", &world.path("none")]).unwrap_err();
    assert!(error.contains("nothing at"), "{error}");
    assert!(!Path::new(&world.path("none")).exists());
}

#[test]
fn images_in_an_archive_spare_the_build() {
    let compose = "services:\n  web:\n    build: .\n    command: [serve, \"8080\", /www]\n    expose: [8080]\n    \
                   stop_signal: SIGKILL\n";
    let dockerfile = "FROM drey-demo/tiny:1\nRUN [\"busybox\", \"sh\", \"-c\", \"mkdir /www; echo built-$$ > /www/index.html\"]\n";
    let files = [("compose.yaml", compose), ("Dockerfile", dockerfile)];
    let world = World::configured("packed", &files, "[archive]\nimages = true\n");
    world.push("kept/image", &[("one.txt", "kept")]);
    world.reaches("kept/image", "ready");
    let page = world.get("kept-image").unwrap().1;
    let container = world.container("kept/image", "web");
    let tag = docker(&["inspect", "-f", "{{.Config.Image}}", &container]).trim().to_owned();
    world.drey(&["env", "archive", &format!("{REPO}/kept/image")]).unwrap();
    let id = archive(&world, "kept/image");
    assert_eq!(docker(&["images", "-q", &tag]).trim(), "", "the image is gone");

    let told = world.drey(&["archive", "restore", &id, "--wait"]).unwrap();
    assert!(told.contains("1 images are loaded") && !told.contains("build web as"), "{told}");
    world.serves("kept-image", page.trim());
}
