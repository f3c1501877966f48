//! Pushes that are passed over, and a branch that is deployed as it would be after its merge.

use crate::harness::World;
use crate::{COMPOSE, shop};

const CONFIGURED: &str = "paths = [\"web/**\", \"!web/docs/**\"]\nsubject = \"merge\"\n";

#[test]
fn only_what_counts_is_deployed_and_as_it_would_be_after_its_merge() {
    let world = World::configured("sift", &shop(), CONFIGURED);
    world.push("only-words", &[("web/docs/a.md", "words"), ("README", "words")]);
    let gone = world.reaches("only-words", "destroyed");
    let reason = gone["reason"].as_str().unwrap();
    assert!(reason.contains("is passed over: the branch changes nothing of `paths`"), "{reason}");
    assert!(world.things("only-words").is_empty());

    world.push("joined", &[("web/index.html", "joined\n")]);
    let running = world.reaches("joined", "ready")["running_commit"].clone();
    world.serves("joined", "joined");
    world.git(&["commit", "-q", "--allow-empty", "-m", "Typo\n\n[skip drey]"]);
    world.git(&["push", "-q", "origin", "joined"]);
    let passed = world.reaches("joined", "ready");
    assert_eq!(passed["running_commit"], running);
    assert!(passed["reason"].as_str().unwrap().contains("its message says [skip drey]"), "{passed}");

    // Main has another service now: so has the branch, though none of its own commits brought it.
    let more = COMPOSE.replace(
        "volumes:\n  data:\n",
        "  extra: { image: \"drey-demo/tiny:1\", command: [serve, \"9002\", /] }\nvolumes:\n  data:\n",
    );
    world.push("main", &[("compose.yaml", &more)]);
    assert_eq!(world.container("joined", "extra"), "");
    world.drey(&["env", "deploy", "--wait", "world/joined"]).unwrap();
    assert_ne!(world.container("joined", "extra"), "");
    let own = world.git(&["rev-parse", "joined"]);
    assert_eq!(world.environment("joined").unwrap()["running_commit"], own.trim());

    world.push("main", &[("web/index.html", "main has another page\n")]);
    world.drey(&["env", "deploy", "world/joined"]).unwrap();
    let told = "cannot be merged into main: conflicts in web/index.html: merge main into the branch";
    assert_eq!(world.reaches("joined", "failed")["reason"], told);
    world.serves("joined", "joined");
}
