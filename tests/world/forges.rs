//! A pull request's whole life on the real engine, told by signed deliveries, seen in what the forge was told.

use std::process::Command;

use drey::domain::forge::Forge;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::fake_forge::{FakeForge, TOKEN, Trouble};
use crate::harness::{REPO, SECRET, World};
use crate::{DOCKERFILE, shop};

/// Sends a delivery as GitHub does, and says the answer's body.
pub(crate) fn deliver(world: &World, event: &str, id: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let url = format!("http://{}/hooks/github/{REPO}", world.address());
    let mut curl = Command::new("curl");
    curl.args(["-s", "-m", "15", "-w", "\n%{http_code}", "--data-binary", &body, &url]);
    for header in [
        "Content-Type: application/json".to_owned(),
        format!("X-GitHub-Event: {event}"),
        format!("X-GitHub-Delivery: {id}"),
        format!("X-Hub-Signature-256: sha256={signature}"),
    ] {
        curl.args(["-H", &header]);
    }
    let said = String::from_utf8_lossy(&curl.output().unwrap().stdout).into_owned();
    assert!(said.ends_with("\n202"), "{said}");
    said
}

/// What GitHub says of pull request 7.
fn told(action: &str, second: u32, head: &str, merged: bool) -> Value {
    let repository = json!({"full_name": "team/shop"});
    let side = |name: &str| json!({"ref": name, "sha": head, "repo": repository});
    json!({
        "action": action, "number": 7, "repository": repository,
        "pull_request": {
            "number": 7, "title": "A <b>change</b> for @everyone", "user": {"login": "anna"}, "draft": false,
            "labels": [], "state": if action == "closed" { "closed" } else { "open" }, "merged": merged,
            "html_url": "https://forge.invalid/team/shop/pull/7", "merge_commit_sha": null,
            "updated_at": format!("2026-01-01T00:00:{second:02}Z"),
            "head": side("feature/pull"), "base": side("main"),
        },
    })
}

/// The one comment there may be.
fn comment(forge: &FakeForge) -> Option<String> {
    let comments = forge.comments(7);
    assert!(comments.len() <= 1, "{comments:?}");
    comments.into_iter().next()
}

fn states(forge: &FakeForge, commit: &str) -> Vec<String> {
    let said = forge.with(|inside| inside.statuses.get(commit).cloned().unwrap_or_default());
    said.iter().map(|status| status["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_pull_request_is_told_from_pending_to_its_merge_in_one_comment() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let forge = runtime.block_on(FakeForge::open(Forge::Github));
    let more = format!(
        "deploy = \"pull-requests\"\n[repo.forge]\nkind = \"github\"\nproject = \"team/shop\"\napi = \"{}\"\ntoken = \"{TOKEN}\"\n",
        forge.api
    );
    let mut world = World::configured("forges", &shop(), &more);
    world.push("feature/pull", &[("web/index.html", "first of the pull\n")]);
    let first = world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    assert_eq!(world.environment("feature/pull"), None, "a push without a pull request makes nothing");

    // The forge is away while the branch is deployed: that waits for nobody.
    forge.with(|inside| inside.trouble = Some(Trouble::Hang));
    deliver(&world, "pull_request", "1", &told("opened", 1, &first, false));
    let url = world.reaches("feature/pull", "ready")["url"].as_str().unwrap().to_owned();
    world.serves("feature-pull", "first of the pull");
    forge.with(|inside| inside.trouble = None);
    world.eventually("the first commit's last state is told", 120, || {
        states(&forge, &first).last().is_some_and(|state| state == "success")
    });
    assert_eq!(forge.status(&first).unwrap().2, url);
    world.eventually("the comment has the address", 60, || {
        comment(&forge).is_some_and(|it| it.contains(&url))
    });
    let text = comment(&forge).unwrap();
    assert!(text.contains(&first[..8]) && !text.contains("@everyone") && !text.contains("<b>"), "{text}");

    // What is over within a second is told by its end alone: this takes longer, and no builder has it in its cache.
    let id = std::process::id();
    let slow = format!("{DOCKERFILE}RUN [\"busybox\", \"sh\", \"-c\", \"busybox sleep 4 # {id}\"]\n");
    world.push("feature/pull", &[("web/index.html", "second of the pull\n"), ("web/Dockerfile", &slow)]);
    let second = world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    deliver(&world, "pull_request", "2", &told("synchronize", 2, &second, false));
    world.serves("feature-pull", "second of the pull");
    world.eventually("the second commit is told from its beginning", 60, || {
        states(&forge, &second) == ["pending", "success"]
    });
    world.eventually("the same comment has the new commit", 60, || {
        comment(&forge).is_some_and(|it| it.contains(&second[..8]) && !it.contains(&first[..8]))
    });

    world.git(&["checkout", "-q", "main"]);
    world.git(&["merge", "-q", "--squash", "feature/pull"]);
    world.git(&["commit", "-q", "-m", "merged by the forge"]);
    world.git(&["push", "-q", "origin", ":feature/pull", "main"]);
    deliver(&world, "pull_request", "3", &told("closed", 3, &second, true));
    world.archived("feature/pull");
    let archives: Value = serde_json::from_str(&world.drey(&["archive", "list", "--json"]).unwrap()).unwrap();
    let archives = archives["items"].as_array().unwrap();
    assert_eq!((archives.len(), archives[0]["outcome"].as_str()), (1, Some("merged")));
    let id = archives[0]["id"].as_str().unwrap();
    world.eventually("the comment says what became of it", 60, || {
        comment(&forge).is_some_and(|it| it.contains("merged") && it.contains(id))
    });
    world.eventually("the last status is final", 60, || {
        let (state, description, _) = forge.status(&second).unwrap();
        state == "success" && description.contains("merged")
    });
    world.eventually("its deployments are over", 60, || {
        forge.with(|inside| {
            let last = inside.deployments.values().map(|(_, said)| said.last().map(|it| it["state"].clone()));
            last.collect::<Vec<_>>().iter().all(|state| *state == Some(json!("inactive")))
        })
    });
    assert_eq!(forge.with(|inside| inside.faults.clone()), Vec::<String>::new());
    world.end_all();
}
