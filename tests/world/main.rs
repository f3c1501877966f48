//! Scenarios on the real engine, with a real repository and its hook. Each test's name is its sentence.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::print_stdout, reason = "a test tells its figures")]
#![allow(clippy::disallowed_methods, reason = "the tests start the programs that a user would start")]

mod access;
mod archives;
mod audit;
mod backends;
mod behind;
mod boxed;
mod checker;
mod cycles;
mod deliveries;
mod dice;
mod eaters;
mod elsewhere;
mod engine;
#[path = "../house/fake_forge.rs"]
#[allow(dead_code, reason = "the tests of the house know more of its troubles")]
mod fake_forge;
mod faults;
mod foreign;
mod forges;
mod forks;
mod full;
mod git;
mod harness;
mod images;
mod interlock;
mod jobs;
mod life;
mod logs;
mod processes;
mod providers;
mod room;
mod secrets;
mod seen;
mod services;
mod sift;
mod sleep;
mod soak;
mod sockets;
mod stores;
mod storm;
mod strays;
mod swarm;
mod visitors;
mod walls;

use harness::{World, docker};

/// A page, a "database" that keeps what it is given, and a cache: small, and quick to end.
const COMPOSE: &str = r#"
services:
  web:
    build: ./web
    container_name: the-one-and-only
    ports: ["8080:8080"]
    depends_on: [db, cache]
  db:
    image: drey-demo/tiny:1
    command: ["serve", "9000", "/data"]
    volumes: ["data:/data"]
  cache:
    image: drey-demo/tiny:1
    command: ["serve", "9001", "/"]
volumes:
  data:
"#;
const DOCKERFILE: &str =
    "FROM drey-demo/tiny:1\nCOPY index.html /www/index.html\nCMD [\"serve\", \"8080\", \"/www\"]\n";

fn shop() -> Vec<(&'static str, &'static str)> {
    vec![("compose.yaml", COMPOSE), ("web/Dockerfile", DOCKERFILE), ("web/index.html", "first page\n")]
}

#[test]
fn a_push_becomes_a_page_and_an_update_replaces_only_what_changed() {
    let world = World::new("update", &shop());
    let said = world.push("feature/checkout", &[("web/index.html", "checkout\n")]);
    assert!(said.contains("feature-checkout.world.localhost"), "{said}");
    world.reaches("feature/checkout", "ready");
    world.serves("feature-checkout", "checkout");
    let before = ["web", "db", "cache"].map(|service| world.container("feature/checkout", service));
    docker(&["exec", &before[1], "busybox", "sh", "-c", "echo kept > /data/order"]);

    world.push("feature/checkout", &[("web/index.html", "changed\n")]);
    world.reaches("feature/checkout", "ready");
    world.serves("feature-checkout", "changed");
    let after = ["web", "db", "cache"].map(|service| world.container("feature/checkout", service));
    assert_ne!(before[0], after[0], "the page's container is a new one");
    assert_eq!(before[1..], after[1..], "database and cache were not touched");
    assert_eq!(docker(&["exec", &after[1], "busybox", "cat", "/data/order"]).trim(), "kept");
}

#[test]
fn two_branches_with_fixed_names_and_ports_run_side_by_side_and_apart() {
    let world = World::new("apart", &shop());
    for branch in ["left", "right"] {
        world.push(branch, &[("web/index.html", branch)]);
    }
    for branch in ["left", "right"] {
        world.reaches(branch, "ready");
        world.serves(branch, branch);
    }
    let (left, right) = (world.container("left", "db"), world.container("right", "db"));
    docker(&["exec", &left, "busybox", "sh", "-c", "echo mine > /data/secret"]);
    assert!(!docker(&["exec", &right, "busybox", "ls", "/data"]).contains("secret"));
    let name = docker(&["inspect", "-f", "{{.Name}}", &right]).trim().trim_start_matches('/').to_owned();
    let reach = format!(
        "busybox nslookup {name} 2>&1 || true; busybox nc -w 2 {name} 9000 </dev/null 2>&1 || echo unreachable"
    );
    let said = docker(&["exec", &left, "busybox", "sh", "-c", &reach]);
    assert!(said.contains("unreachable"), "{said}");
}

#[test]
fn branches_whose_names_look_alike_get_their_own_addresses_and_keep_them_over_a_restart() {
    let mut world = World::new("names", &shop());
    let branches = ["feature/a", "feature-a", "Feature/A"];
    for branch in branches {
        world.git(&["branch", branch, "main"]);
    }
    world.git(&["push", "-q", "origin", branches[0], branches[1], branches[2]]);
    let slugs = |world: &World| {
        branches.map(|branch| world.reaches(branch, "ready")["slug"].as_str().unwrap().to_owned())
    };
    let before = slugs(&world);
    let different: std::collections::BTreeSet<&String> = before.iter().collect();
    assert_eq!(different.len(), 3, "{before:?}");
    world.kill();
    world.start();
    assert_eq!(slugs(&world), before);
    for slug in &before {
        world.serves(slug, "first page");
    }
    // They share the image of their page, and end together.
    let web = world.container("feature/a", "web");
    let images = world.images_of_the_daemon_of(&web);
    assert!(!images().is_empty());
    for branch in branches {
        world.drey(&["env", "destroy", &format!("world/{branch}")]).unwrap();
    }
    world.eventually("no image is left", 60, || images().is_empty());
}

#[test]
fn what_is_broken_says_why_and_the_next_good_push_goes_ready() {
    let world = World::new("broken", &shop());
    let cases = [
        ("broken YAML", "compose.yaml", "services:\n  web: [\n", "compose.yaml"),
        (
            "unknown dependency",
            "compose.yaml",
            "services:\n  web:\n    image: drey-demo/tiny:1\n    expose: [80]\n    depends_on: [nobody]\n",
            "nobody",
        ),
        ("failing build", "web/Dockerfile", "FROM drey-demo/tiny:1\nRUN [\"busybox\", \"false\"]\n", "web"),
        (
            "exits at once",
            "web/Dockerfile",
            "FROM drey-demo/tiny:1\nCMD [\"busybox\", \"sh\", \"-c\", \"echo it hurts; exit 3\"]\n",
            "it hurts",
        ),
        (
            "nobody listens",
            "web/Dockerfile",
            "FROM drey-demo/tiny:1\nCMD [\"serve\", \"7777\", \"/\"]\nLABEL drey.ready.within=5s\n",
            "8080",
        ),
        (
            "host name space",
            "compose.yaml",
            "services:\n  web:\n    image: drey-demo/tiny:1\n    expose: [80]\n    pid: host\n",
            "pid",
        ),
    ];
    for (number, (what, path, content, reason)) in cases.into_iter().enumerate() {
        let branch = format!("broken-{number}");
        let quick = COMPOSE.replace("build: ./web", "build: ./web\n    labels: {drey.ready.within: 8s}");
        let files = if path == "compose.yaml" {
            vec![(path, content)]
        } else {
            vec![("compose.yaml", quick.as_str()), (path, content)]
        };
        world.push(&branch, &files);
        world.eventually(&format!("{what} is told"), 120, || {
            world.environment(&branch).is_some_and(|it| it["phase"] == "failed" || it["phase"] == "blocked")
        });
        let environment = world.environment(&branch).unwrap();
        let said = environment["reason"].as_str().unwrap_or_default();
        assert!(said.contains(reason), "{what}: {said}");
        assert_eq!(world.container(&branch, "web"), "", "{what}: no container is left");
        let (status, page) = world.get(&branch).unwrap();
        assert_eq!(status, 503, "{what}: {page}");
    }
    world.push("broken-3", &shop());
    world.reaches("broken-3", "ready");
    world.serves("broken-3", "first page");
}

#[test]
fn every_way_to_merge_ends_archived_as_merged_and_a_deletion_as_deleted() {
    let world = World::new("merges", &shop());
    let merge = |branch: &str, how: &dyn Fn()| {
        world.push(branch, &[(&format!("{branch}.txt"), branch)]);
        world.reaches(branch, "ready");
        world.git(&["checkout", "-q", "main"]);
        how();
        world.git(&["push", "-q", "origin", "main"]);
        assert_eq!(world.archived(branch), "merged", "{branch}");
        world.eventually("nothing is left", 30, || world.things(branch).is_empty());
    };
    merge("fast-forward", &|| {
        world.git(&["merge", "-q", "--ff-only", "fast-forward"]);
    });
    merge("merge-commit", &|| {
        world.git(&["merge", "-q", "--no-ff", "-m", "merge", "merge-commit"]);
    });
    merge("squash", &|| {
        world.git(&["merge", "-q", "--squash", "squash"]);
        world.git(&["commit", "-q", "-m", "squashed"]);
    });
    merge("rebase", &|| {
        world.commit(&[("other.txt", "main goes on")]);
        world.git(&["cherry-pick", "rebase"]);
    });
    world.git(&["branch", "fresh", "main"]);
    world.git(&["push", "-q", "origin", "fresh"]);
    world.push("gone", &[("gone.txt", "gone")]);
    world.reaches("gone", "ready");
    world.git(&["push", "-q", "origin", ":gone"]);
    assert_eq!(world.archived("gone"), "deleted");
    let (status, _) = world.get("gone").unwrap();
    assert_eq!(status, 410);
    world.git(&["checkout", "-q", "main"]);
    world.commit(&[("more.txt", "more")]);
    world.git(&["push", "-q", "origin", "main"]);
    world.reaches("fresh", "ready");
}

#[test]
fn a_force_push_is_just_a_new_commit_and_a_push_can_wait() {
    let world = World::new("force", &shop());
    world.push("feature/x", &[("web/index.html", "one\n")]);
    world.reaches("feature/x", "ready");
    world.git(&["reset", "-q", "--hard", "main"]);
    world.commit(&[("web/index.html", "two\n")]);
    let said = world.git(&["push", "-f", "-o", "drey.wait", "origin", "feature/x"]);
    assert!(said.contains("ready"), "{said}");
    world.serves("feature-x", "two");
    let said = world.git(&["push", "-f", "-o", "drey.skip", "origin", "main:refs/heads/skipped"]);
    assert!(said.contains("skip"), "{said}");
    assert!(world.environment("skipped").is_none());
}

#[test]
fn killed_in_the_middle_it_still_reaches_what_was_wanted() {
    let mut world = World::new("killed", &shop());
    world.push("feature/killed", &[("web/index.html", "alive\n")]);
    world.eventually("containers are being made", 60, || !world.things("feature/killed").is_empty());
    world.kill();
    world.start();
    world.reaches("feature/killed", "ready");
    world.serves("feature-killed", "alive");
    let before = world.things("feature/killed").len();

    world.git(&["push", "-q", "origin", ":feature/killed"]);
    world.eventually("the teardown has begun", 60, || {
        world.things("feature/killed").len() < before || {
            world.environment("feature/killed").is_some_and(|it| it["phase"] == "archiving")
        }
    });
    world.kill();
    world.start();
    assert_eq!(world.archived("feature/killed"), "deleted");
    world.eventually("nothing is left", 60, || world.things("feature/killed").is_empty());
    let archives = world.drey(&["archive", "list", "--json"]).unwrap();
    assert_eq!(archives.matches("\"feature/killed\"").count(), 1, "{archives}");
    checker::is_whole(&world, "after two kills", 20);
}

#[test]
fn forty_environments_at_once_are_all_ready() {
    let compose = "services:\n  web:\n    image: drey-demo/tiny:1\n    command: [serve, '8080', /]\n    expose: [8080]\n  \
                   worker:\n    image: drey-demo/tiny:1\n    command: [serve, '9000', /]\n";
    let world = World::new("forty", &[("compose.yaml", compose)]);
    let branches: Vec<String> = (0..40).map(|number| format!("many-{number}")).collect();
    for branch in &branches {
        world.git(&["branch", branch, "main"]);
    }
    let mut arguments = vec!["push", "-q", "origin"];
    arguments.extend(branches.iter().map(String::as_str));
    world.git(&arguments);
    world.eventually("all forty are ready", 400, || {
        let text = world.drey(&["env", "list", "--json"]).unwrap_or_default();
        text.matches("\"phase\":\"ready\"").count() == 40
    });
}

#[test]
fn a_service_builds_upon_another_and_nothing_of_a_failed_first_deployment_stays_after_its_end() {
    let compose = r#"
services:
  web:
    build:
      context: ./web
      additional_contexts: { base: "service:base" }
    expose: [8080]
    labels: { drey.ready.within: 4s }
  base:
    build: { context: ./base, network: none }
    command: [serve, "9000", /]
"#;
    let files = [
        ("compose.yaml", compose),
        ("base/Dockerfile", "FROM drey-demo/tiny:1\nCOPY word /www/word\n"),
        ("base/word", "from the base\n"),
        (
            "web/Dockerfile",
            "FROM base\nCOPY index.html /www/index.html\nCMD [\"serve\", \"8080\", \"/www\"]\n",
        ),
        ("web/index.html", "built upon\n"),
    ];
    let world = World::new("upon", &files);
    world.push("upon-one", &[("one.txt", "upon-one")]);
    world.reaches("upon-one", "ready");
    world.serves("upon-one", "built upon");
    let web = world.container("upon-one", "web");
    assert_eq!(docker(&["exec", &web, "busybox", "cat", "/www/word"]).trim(), "from the base");
    let tag = |service: &str| {
        docker(&["inspect", "-f", "{{.Config.Image}}", &world.container("upon-one", service)])
    };
    let before = (tag("base"), tag("web"));
    let images = world.images_of_the_daemon_of(&web);
    world.push("upon-one", &[("base/word", "another word\n")]);
    world.reaches("upon-one", "ready");
    assert!(
        before.0 != tag("base") && before.1 != tag("web"),
        "what stands upon a changed image is another one"
    );

    world.push("upon-two", &[("web/Dockerfile", "FROM base\nCMD [\"serve\", \"7777\", \"/\"]\n")]);
    world.reaches("upon-two", "failed");
    world.drey(&["env", "destroy", "world/upon-two"]).unwrap();
    world.drey(&["env", "destroy", "world/upon-one"]).unwrap();
    world.eventually("no image of drey's is left", 60, || images().is_empty());
}

#[test]
fn going_back_after_a_failed_update_brings_back_what_ran() {
    let world = World::new("back", &shop());
    let quick = COMPOSE.replace("build: ./web", "build: ./web\n    labels: {drey.ready.within: 5s}");
    world.push("feature/back", &[("compose.yaml", &quick)]);
    world.reaches("feature/back", "ready");
    let good = world.git(&["rev-parse", "feature/back"]).trim().to_owned();
    let silent = "FROM drey-demo/tiny:1\nCMD [\"serve\", \"7777\", \"/\"]\n";
    world.push("feature/back", &[("web/Dockerfile", silent)]);
    world.reaches("feature/back", "failed");
    world.git(&["reset", "-q", "--hard", &good]);
    world.git(&["push", "-q", "-f", "origin", "feature/back"]);
    world.reaches("feature/back", "ready");
    world.serves("feature-back", "first page");
}

#[test]
fn a_worker_that_exits_just_after_the_start_is_told_and_the_page_stays() {
    let compose = r#"
services:
  web: { image: "drey-demo/tiny:1", command: [serve, "8080", /], expose: [8080] }
  worker: { image: "drey-demo/tiny:1", command: [busybox, sh, -c, "busybox sleep 1; echo no queue; exit 3"] }
"#;
    let world = World::new("worker", &[("compose.yaml", compose)]);
    world.push("crashing", &[("one.txt", "crashing")]);
    let failed = world.reaches("crashing", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("worker") && reason.contains("no queue"), "{reason}");
    assert_eq!(world.get("crashing").unwrap().0, 404, "what is sound is served: it has no page of this name");
    docker(&["stop", "-t", "1", &world.container("crashing", "web")]);
    world.eventually("the page says that it does not run", 20, || {
        world.get("crashing").is_some_and(|(status, page)| status == 503 && page.contains("did not start"))
    });
}

#[test]
fn a_changed_config_file_reaches_the_container_and_the_old_name_still_finds_it() {
    let compose = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /www]
    expose: [8080]
    configs: [{ source: page, target: /www/index.html }]
  db:
    image: drey-demo/tiny:1
    container_name: shop-db
    command: [serve, "9000", /]
configs:
  page: { file: ./page.html }
"#;
    let world = World::new("configs", &[("compose.yaml", compose), ("page.html", "one\n")]);
    world.push("configured", &[("a.txt", "a")]);
    world.reaches("configured", "ready");
    world.serves("configured", "one");
    let web = world.container("configured", "web");
    let db = world.container("configured", "db");
    let reach = "busybox nc -w 2 shop-db 9000 </dev/null && echo reached";
    assert!(docker(&["exec", &web, "busybox", "sh", "-c", reach]).contains("reached"));
    world.push("configured", &[("page.html", "two\n")]);
    world.reaches("configured", "ready");
    world.serves("configured", "two");
    assert_eq!(world.container("configured", "db"), db, "only what sees the file is replaced");
}

#[test]
fn a_page_in_the_network_of_another_service_is_reached_through_it() {
    let compose = r#"
services:
  web:
    build: ./web
    network_mode: "service:db"
    labels: {drey.port: "8080"}
  db:
    image: drey-demo/tiny:1
    command: ["serve", "9000", "/"]
"#;
    let world = World::new("joined", &shop());
    world.push("joined", &[("compose.yaml", compose), ("web/index.html", "joined\n")]);
    world.reaches("joined", "ready");
    world.serves("joined", "joined");
}
