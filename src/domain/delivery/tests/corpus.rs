//! Recorded deliveries of real forges, where they lie beside the checkout.

use std::path::PathBuf;

use serde_json::Value;

use super::super::{Told, read};
use crate::domain::event::EventKind;
use crate::domain::forge::Forge;

/// One file each; none where the folder is not there.
fn cases() -> Vec<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let folder = std::env::var_os("DREY_CORPORA").map_or_else(beside, PathBuf::from).join("webhooks");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut cases: Vec<Value> = entries.map(|entry| read(entry.unwrap().path())).collect();
    cases.sort_by_key(|case| case["name"].as_str().unwrap().to_owned());
    cases
}

/// The corpus' words for what was told.
fn assert_is(kind: &EventKind, expected: &Value, name: &str) {
    let text = |key: &str| expected[key].as_str();
    assert_eq!(Some(kind.word()), text("kind"), "{name}: {kind:?}");
    let pull = kind.pull();
    let branch = pull.map(|pull| pull.source.as_str()).or_else(|| kind.branch().map(|it| it.as_str()));
    if text("kind") != Some("ignored") {
        assert_eq!(branch, text("branch"), "{name}");
    }
    if let EventKind::TagCreated { tag } | EventKind::TagDeleted { tag } = kind {
        assert_eq!(Some(tag.as_str()), text("tag"), "{name}");
    }
    if !matches!(kind, EventKind::TagCreated { .. } | EventKind::TagDeleted { .. }) && pull.is_none() {
        assert_eq!(kind.commit().as_ref().map(|it| it.as_str()), text("sha"), "{name}");
    }
    if let EventKind::BranchPushed { before, .. } = kind {
        assert_eq!(Some(before.as_str()), text("before"), "{name}");
    }
    let Some(pull) = pull else { return };
    assert_eq!(Some(pull.number), expected["number"].as_u64(), "{name}");
    assert_eq!(Some(pull.target.as_str()), text("base_branch"), "{name}");
    assert_eq!(pull.fork.is_some(), expected["from_fork"].as_bool().unwrap_or_default(), "{name}");
    let head = pull.head.as_ref().map(|head| head.as_str());
    assert_eq!(head, text("sha").or(text("sha_prefix")), "{name}");
    let merged = pull.merge_commit.as_ref().map(|head| head.as_str());
    assert_eq!(merged, text("merge_sha").or(text("merge_sha_prefix")), "{name}");
}

fn is_refused(expected: &Value) -> bool {
    expected["http_status"].as_i64() == Some(400) || expected["http_status"] == "400 or 404"
}

#[test]
fn recorded_deliveries_say_what_they_mean() {
    let mut seen = 0;
    for case in cases() {
        let Some(forge) = Forge::from_word(case["forge"].as_str().unwrap()) else { continue };
        let (name, expected) = (case["name"].as_str().unwrap(), &case["expected"]);
        let body: Result<Value, _> = serde_json::from_str(case["body_text"].as_str().unwrap());
        let told: Option<Told> =
            body.ok().and_then(|body| read(forge, case["event"].as_str().unwrap(), &body).ok());
        seen += 1;
        if is_refused(expected) {
            assert_eq!(told, None, "{name}");
            continue;
        }
        if expected["http_status"] != "2xx" || expected["kind"] == "branch_pushed or rejected" {
            continue;
        }
        let told = told.unwrap_or_else(|| panic!("{name}: cannot be read"));
        if let Some(project) = expected["repo"].as_str() {
            assert_eq!(told.project.as_deref(), Some(project), "{name}");
        }
        match expected["events"].as_array() {
            Some(events) => {
                assert_eq!(told.kinds.len(), events.len(), "{name}");
                told.kinds.iter().zip(events).for_each(|(kind, expected)| assert_is(kind, expected, name));
            }
            None => assert_is(&told.kinds[0], expected, name),
        }
    }
    assert!(seen == 0 || seen > 100, "{seen}");
}
