//! A pull request of a fork on the real engine, told by a signed delivery, fetched from the repository itself.

use std::process::Command;

use serde_json::{Value, json};

use crate::forges::deliver;
use crate::harness::{REPO, World, docker};
use crate::{COMPOSE, shop};

const FORK: &str = "pull:7";

/// A commit that only the pull request's ref leads to; drey is not told.
fn fork_commits(world: &World, files: &[(&str, &str)]) -> String {
    world.git(&["checkout", "-q", "--detach", "main"]);
    world.commit(files);
    world.git(&["push", "-q", "-f", "origin", "HEAD:refs/pull/7/head"]);
    let commit = world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    world.git(&["checkout", "-q", "main"]);
    commit
}

/// As GitHub tells of it; the address of the fork leads nowhere, and nobody goes there.
fn tell(world: &World, number: usize, action: &str, head: &str) {
    let repository = json!({"id": 1, "name": "world", "full_name": "team/world"});
    let fork = json!({
        "id": 2, "name": "world", "full_name": "alice/world", "fork": true,
        "clone_url": "https://fork.invalid/alice/world.git",
    });
    let merged = action == "merged";
    let action = if merged { "closed" } else { action };
    let body = json!({
        "action": action, "number": 7, "repository": repository,
        "pull_request": {
            "number": 7, "title": "A change", "user": {"login": "alice"}, "draft": false, "labels": [],
            "state": if action == "closed" { "closed" } else { "open" }, "merged": merged,
            "html_url": "https://forge.invalid/team/world/pull/7", "merge_commit_sha": null,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": format!("2026-01-01T00:00:{number:02}Z"),
            "head": {"ref": "main", "sha": head, "repo": fork, "label": "alice:main"},
            "base": {"ref": "main", "sha": head, "repo": repository, "label": "team:main"},
        },
    });
    deliver(world, "pull_request", &format!("fork-{number}"), &body);
}

fn held_at(world: &World, commit: &str) -> Value {
    world.eventually(&format!("it waits for the approval of {commit}"), 60, || {
        world.environment(FORK).is_some_and(|it| {
            let reason = it["reason"].as_str().unwrap_or_default();
            it["phase"] == "blocked" && reason.ends_with(&format!("--commit {commit})"))
        })
    });
    world.environment(FORK).unwrap()
}

fn is_at(world: &World, commit: &str) {
    let there = world.environment(FORK).unwrap();
    assert_eq!((&there["phase"], &there["running_commit"]), (&json!("ready"), &json!(commit)));
}

/// Waits for the deployment; what went wrong.
fn approve(world: &World, commit: &str) -> Result<String, String> {
    world.drey(&["env", "approve", "--wait", &format!("{REPO}/{FORK}"), "--commit", commit])
}

/// Whether the mirror has the commit.
fn is_fetched(world: &World, commit: &str) -> bool {
    let mirror = world.path("data/mirrors/world.git");
    let found = Command::new("git").args(["--git-dir", &mirror, "cat-file", "-e", commit]).output();
    found.unwrap().status.success()
}

#[test]
fn a_forks_commit_runs_when_somebody_approved_it_and_the_next_one_waits_again() {
    let world = World::new("forks", &shop());
    let first = fork_commits(&world, &[("web/index.html", "from a fork\n")]);
    tell(&world, 1, "opened", &first);
    held_at(&world, &first);
    assert!(!is_fetched(&world, &first) && world.things(FORK).is_empty());
    let refused = approve(&world, &"1".repeat(40)).unwrap_err();
    assert!(refused.contains(&format!("but at {first}")), "{refused}");
    approve(&world, &first).unwrap();
    is_at(&world, &first);
    world.serves("pull-7", "from a fork");

    let second = fork_commits(&world, &[("web/index.html", "something else\n")]);
    tell(&world, 2, "synchronize", &second);
    let held = held_at(&world, &second);
    assert_eq!((&held["serving"], &held["running_commit"]), (&json!(true), &json!(first)));
    world.serves("pull-7", "from a fork");
    assert!(!is_fetched(&world, &second));
    approve(&world, &first).unwrap_err();
    approve(&world, &second).unwrap();
    is_at(&world, &second);
    world.serves("pull-7", "something else");

    // It asks for a secret that every branch gets.
    let asking = format!("{COMPOSE}x-drey:\n  secrets: {{ web: [CANARY] }}\n");
    let third = fork_commits(&world, &[("compose.yaml", &asking)]);
    crate::secrets::set_secret(&world, "canary-that-no-fork-gets");
    tell(&world, 3, "synchronize", &third);
    held_at(&world, &third);
    let refused = approve(&world, &third).unwrap_err();
    assert!(refused.contains("a fork gets no secrets"), "{refused}");
    let web = docker(&["inspect", &world.container(FORK, "web")]);
    assert!(!web.contains("/run/secrets") && !web.contains("canary"), "{web}");

    tell(&world, 4, "merged", &third);
    assert_eq!(world.archived(FORK), "merged");
}
