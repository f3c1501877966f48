//! Deliveries in the shape that the forges' documentation describes.

mod corpus;

use serde_json::{Value, json};

use super::*;
use crate::domain::event::PullChange;
use crate::domain::names::{BranchName, CommitSha};
use crate::domain::pull_request::{PullRequest, PullState};

const ZERO: &str = "0000000000000000000000000000000000000000";
const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

fn kinds(forge: Forge, event: &str, body: &Value) -> Vec<EventKind> {
    read(forge, event, body).unwrap().kinds
}

fn fault(forge: Forge, event: &str, body: &Value) -> String {
    read(forge, event, body).unwrap_err().to_string()
}

fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

fn commit(text: &str) -> CommitSha {
    CommitSha::parse(text).unwrap()
}

fn pull(head_repo: &Value) -> Value {
    json!({
        "action": "opened", "number": 7,
        "repository": {"full_name": "team/shop"},
        "pull_request": {
            "number": 7, "title": "A \u{1b}[31mred\nidea", "user": {"login": "anna"}, "state": "open", "draft": true,
            "html_url": "https://forge.example/team/shop/pull/7", "updated_at": "2026-01-02T03:04:05Z",
            "labels": [{"name": "preview"}, {"name": ""}, {}],
            "head": {"ref": "feature/x", "sha": ONE, "label": "team:feature/x", "repo": head_repo},
            "base": {"ref": "main", "label": "team:main"},
        },
    })
}

fn told(forge: Forge, event: &str, body: &Value) -> (PullChange, PullRequest) {
    let kind = kinds(forge, event, body).remove(0);
    let EventKind::PullRequest { change, pull } = kind else { panic!("{kind:?}") };
    (change, *pull)
}

#[test]
fn a_push_is_read_by_its_zeros() {
    let push = |before: &str, after: &str, reference: &str| {
        let body = json!({"before": before, "after": after, "ref": reference});
        read(Forge::Github, "push", &body).map(|told| told.kinds)
    };
    let created = EventKind::BranchCreated { branch: branch("a/b"), commit: Some(commit(ONE)) };
    assert_eq!(push(ZERO, ONE, "refs/heads/a/b"), Ok(vec![created]));
    let gone = EventKind::BranchDeleted { branch: branch("a"), before: Some(commit(ONE)) };
    assert_eq!(push(ONE, ZERO, "refs/heads/a"), Ok(vec![gone]));
    assert_eq!(push(ONE, ZERO, "refs/tags/v1"), Ok(vec![EventKind::TagDeleted { tag: "v1".to_owned() }]));
    assert!(matches!(push(ONE, TWO, "refs/notes/x").unwrap()[0], EventKind::Ignored { .. }));
    for wrong in ["refs/heads/-x", "refs/heads/a..b", "refs/heads/pull:7", "main", "refs/../x"] {
        assert!(push(ONE, TWO, wrong).unwrap_err().to_string().starts_with("ref: "), "{wrong}");
    }
    assert!(push(ONE, "abc", "refs/heads/a").unwrap_err().to_string().starts_with("after: "));
    assert_eq!(fault(Forge::Gitlab, "Push Hook", &json!({"before": 5})), "before: must be a text");
    assert_eq!(fault(Forge::Gitea, "push", &json!([])), "must be an object of JSON");
}

#[test]
fn where_a_repository_is_named_it_has_a_path() {
    let body = |name: &str| json!({"repository": {"full_name": name}, "before": ONE, "after": TWO, "ref": "refs/heads/a"});
    for wrong in ["../x", "a/../b", "shop", "a//b", "a/b c", "a/$(id)"] {
        assert!(fault(Forge::Github, "push", &body(wrong)).starts_with("repository.full_name: "), "{wrong}");
    }
    assert_eq!(
        read(Forge::Github, "push", &body("team/shop.js")).unwrap().project.as_deref(),
        Some("team/shop.js")
    );
}

#[test]
fn a_pull_request_is_read_whole() {
    let own = json!({"full_name": "Team/Shop"});
    for forge in [Forge::Github, Forge::Gitea, Forge::Forgejo] {
        let (change, read) = told(forge, "pull_request", &pull(&own));
        assert_eq!((change, read.forge, read.number), (PullChange::Opened, forge, 7));
        assert_eq!((read.title.as_str(), read.author.as_str()), ("A red idea", "anna"));
        assert_eq!((read.branch, read.target, read.fork), (branch("feature/x"), branch("main"), None));
        assert_eq!(
            (read.state, read.draft, read.labels),
            (PullState::Open, true, vec!["preview".to_owned()])
        );
        assert_eq!(read.head.unwrap().full(), Some(commit(ONE)));
        assert!(read.changed_at.is_some() && read.url.is_some());
    }
}

#[test]
fn what_is_in_another_repository_is_a_forks() {
    for repo in [json!({"full_name": "mallory/shop"}), Value::Null] {
        let (_, read) = told(Forge::Github, "pull_request", &pull(&repo));
        assert_eq!((read.branch, read.source.as_str()), (BranchName::pull(7), "feature/x"));
        assert!(read.fork.is_some());
    }
    let mut old = pull(&Value::Null);
    old["pull_request"]["head"].as_object_mut().unwrap().remove("repo");
    assert_eq!(told(Forge::Github, "pull_request", &old).1.fork, None);
    old["pull_request"]["head"]["label"] = json!("mallory:feature/x");
    assert_eq!(told(Forge::Github, "pull_request", &old).1.fork.as_deref(), Some("mallory"));

    // Gitea, once the branch is gone, or where there never was one.
    let mut gone = pull(&json!({"full_name": "team/shop"}));
    gone["pull_request"]["head"]["ref"] = json!("refs/pull/7/head");
    gone["pull_request"]["head"]["label"] = json!("feature/x");
    let (_, read) = told(Forge::Gitea, "pull_request", &gone);
    assert_eq!((read.branch, read.fork), (branch("feature/x"), None));
    gone["pull_request"]["head"]["label"] = json!("");
    assert_eq!(told(Forge::Forgejo, "pull_request", &gone).1.branch, BranchName::pull(7));

    let request = |source: Value| {
        json!({"object_kind": "merge_request", "user": {"id": 1, "username": "anna"}, "object_attributes": {
            "iid": 3, "action": "open", "state": "opened", "author_id": 1, "source_branch": "main", "target_branch": "main",
            "source_project_id": source, "target_project_id": 5, "last_commit": {"id": ONE},
            "source": {"path_with_namespace": "mallory/shop"}, "updated_at": "2017-12-10 17:01:11 UTC"}})
    };
    for source in [json!(6), Value::Null] {
        let (_, read) = told(Forge::Gitlab, "Merge Request Hook", &request(source));
        assert_eq!((read.branch, read.fork.as_deref()), (BranchName::pull(3), Some("mallory/shop")));
        assert!(read.changed_at.is_some());
    }
    assert_eq!(told(Forge::Gitlab, "Merge Request Hook", &request(json!(5))).1.branch, branch("main"));
}

#[test]
fn only_what_moves_a_pull_request_is_an_update() {
    let own = json!({"full_name": "team/shop"});
    let change = |action: &str, changes: Value, merged: bool| {
        let mut body = pull(&own);
        (body["action"], body["changes"]) = (json!(action), changes);
        (body["pull_request"]["merged"], body["pull_request"]["merge_commit_sha"]) =
            (json!(merged), json!(TWO));
        let (change, pull) = told(Forge::Gitea, "pull_request", &body);
        assert_eq!(pull.merge_commit.is_some(), change == PullChange::Merged);
        change
    };
    assert_eq!(change("synchronized", json!({}), false), PullChange::Updated);
    assert_eq!(change("edited", json!({"title": {"from": "WIP: x"}}), false), PullChange::Marked);
    assert_eq!(change("edited", json!({"base": {"ref": {"from": "x"}}}), false), PullChange::Updated);
    assert_eq!(change("edited", json!({"ref": {"from": "x"}}), false), PullChange::Updated);
    assert_eq!(change("assigned", json!({}), false), PullChange::Described);
    for action in ["labeled", "label_updated", "converted_to_draft"] {
        assert_eq!(change(action, json!({}), false), PullChange::Marked, "{action}");
    }
    assert_eq!(change("closed", json!({}), false), PullChange::Closed);
    assert_eq!(change("closed", json!({}), true), PullChange::Merged);
}

#[test]
fn bitbucket_tells_many_refs_at_once_or_none() {
    let target = |hash: &str| json!({"type": "branch", "name": "a", "target": {"hash": hash}});
    let push = |changes: Value| json!({"push": {"changes": changes}});
    let several = push(json!([
        {"old": null, "new": target(ONE)},
        {"old": target(ONE), "new": target(TWO)},
        {"old": target(TWO), "new": null},
        {"old": null, "new": {"type": "tag", "name": "v1", "target": {"hash": ONE}}},
    ]));
    let words: Vec<&str> =
        kinds(Forge::Bitbucket, "repo:push", &several).iter().map(EventKind::word).collect();
    assert_eq!(words, ["branch_created", "branch_pushed", "branch_deleted", "tag_created"]);
    assert!(kinds(Forge::Bitbucket, "repo:push", &push(json!([]))).contains(&EventKind::Look));
    let empty = push(json!([{"old": null, "new": null}]));
    assert!(fault(Forge::Bitbucket, "repo:push", &empty).contains("neither"));
}

#[test]
fn what_is_not_known_is_ignored() {
    for (forge, event) in [
        (Forge::Github, "workflow_job"),
        (Forge::Gitlab, "Note Hook"),
        (Forge::Gitea, "release"),
        (Forge::Bitbucket, "pullrequest:approved"),
    ] {
        assert_eq!(kinds(forge, event, &json!({})), [EventKind::Ignored { reference: event.to_owned() }]);
    }
    assert_eq!(kinds(Forge::Github, "ping", &json!({"zen": "x"})), [EventKind::Ping]);
    let described = json!({"action": "assigned", "pull_request": {}});
    assert!(matches!(kinds(Forge::Forgejo, "pull_request", &described)[0], EventKind::Ignored { .. }));
    assert_eq!(fault(Forge::Github, "pull_request", &json!({"action": "opened"})), "pull_request: is needed");
}

proptest::proptest! {
    #[test]
    fn any_document_is_read_or_refused(
        key in "(ref|before|after|action|number|ref_type|pull_request|push|object_attributes|pullrequest)",
        value in "\\PC{0,12}",
        event in "(push|create|delete|pull_request|Push Hook|Merge Request Hook|repo:push|pullrequest:created|\\PC{0,8})",
        number in 0_usize..5,
    ) {
        let body = json!({key: value, "ref": "refs/heads/x", "after": ONE});
        // Nothing to assert but that it comes back.
        drop(read(Forge::ALL[number], &event, &body));
    }
}
