//! Secrets: who gets which, where their files are, and what is told when one is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use drey::domain::secrets::{Secret, SecretName};
use serde_json::{Value, json};

use crate::access::Doors;
use crate::harness::{TestHouse, branch, document, in_house, repo};

/// The usual document, whose web asks for `CANARY`.
fn asking() -> Value {
    let mut document = document();
    document["x-drey"] = json!({"secrets": {"web": ["CANARY"]}});
    document
}

async fn set(house: &TestHouse, branches: &str, value: &str) {
    let now = house.orchestrator.house().ports.clock.now();
    let secret = Secret {
        repo: repo(),
        name: SecretName::parse("CANARY").unwrap(),
        branches: branches.to_owned(),
        created_at: now,
        updated_at: now,
    };
    house.orchestrator.set_secret(secret, value.as_bytes()).await.unwrap();
}

async fn file(house: &TestHouse, branch: &str) -> PathBuf {
    let id = house.environment(branch).await.unwrap().id;
    house.orchestrator.house().ports.vault.folder(id).join("of-web/CANARY")
}

async fn value(house: &TestHouse, branch: &str) -> Option<String> {
    std::fs::read_to_string(file(house, branch).await).ok()
}

#[tokio::test]
async fn a_missing_secret_blocks_and_the_reason_says_what_to_do() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], asking());
        house.push("feature/x").await;
        let blocked = house.reaches("feature/x", Phase::Blocked).await;
        let reason = blocked.reason.unwrap();
        assert!(reason.contains("`drey secret set shop CANARY` sets it"), "{reason}");

        set(&house, "feature/**", "the value").await;
        house
            .tell(EventKind::DeployRequested { branch: branch("feature/x"), rebuild: false, pull: false })
            .await;
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(value(&house, "feature/x").await.as_deref(), Some("the value"));
    })
    .await;
}

#[tokio::test]
async fn the_files_are_there_while_it_is_awake_and_no_longer() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], asking());
        set(&house, "**", "first value").await;
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        let store = house.orchestrator.house().store.clone();
        let id = house.environment("feature/x").await.unwrap().id;
        let stack = store.stack(id).await.unwrap().unwrap().stack;
        assert!(stack.document.to_string().contains("/of-web/CANARY"), "{}", stack.document);
        assert!(!serde_json::to_string(&stack).unwrap().contains("first value"));

        // As after a restart of the machine, which empties the folder in memory.
        std::fs::remove_dir_all(house.folder.path().join("run")).unwrap();
        let house = house.restart().await;
        assert_eq!(value(&house, "feature/x").await.as_deref(), Some("first value"));

        house
            .tell(EventKind::SleepRequested {
                branch: branch("feature/x"),
                why: "asked".into(),
                gives_way: false,
            })
            .await;
        house.reaches("feature/x", Phase::Asleep).await;
        assert_eq!(value(&house, "feature/x").await, None);
        set(&house, "**", "second value").await;
        house.tell(EventKind::WakeRequested { branch: branch("feature/x") }).await;
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(value(&house, "feature/x").await.as_deref(), Some("second value"));

        let path = file(&house, "feature/x").await;
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: false }).await;
        house.reaches("feature/x", Phase::Destroyed).await;
        assert!(!path.exists() && !path.parent().unwrap().parent().unwrap().exists());
    })
    .await;
}

#[tokio::test]
async fn a_branch_of_a_narrower_set_never_gets_the_wider_one() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        set(&house, "**", "everyday value").await;
        set(&house, "release/**", "release value").await;
        for (name, branch) in [('b', "feature/x"), ('c', "release/1")] {
            house.commit(name, branch, &['a'], asking());
            house.push(branch).await;
            house.reaches(branch, Phase::Ready).await;
        }
        let given = BTreeMap::from([("feature/x", "everyday value"), ("release/1", "release value")]);
        for (branch, expected) in given {
            assert_eq!(value(&house, branch).await.as_deref(), Some(expected));
        }
        let (shop, name) = (repo(), SecretName::parse("CANARY").unwrap());
        house.orchestrator.remove_secret(&shop, &name, "release/**").await.unwrap();
        let other = Secret {
            repo: shop,
            name: SecretName::parse("OTHER").unwrap(),
            branches: "release/**".to_owned(),
            created_at: house.orchestrator.house().ports.clock.now(),
            updated_at: house.orchestrator.house().ports.clock.now(),
        };
        house.orchestrator.set_secret(other, b"another value").await.unwrap();
        house
            .tell(EventKind::DeployRequested { branch: branch("release/1"), rebuild: false, pull: false })
            .await;
        let blocked = house.reaches("release/1", Phase::Blocked).await;
        assert!(blocked.reason.unwrap().contains("gets the secrets of `release/**` and no others"));
        assert!(blocked.serving, "what runs is left alone");
    })
    .await;
}

#[tokio::test]
async fn no_reason_and_no_log_tells_a_secret() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], asking());
        set(&house, "**", "c4nary/value").await;
        let told = "web said c4nary/value, c4nary%2Fvalue and YzRuYXJ5L3ZhbHVl";
        house.world.with(|inside| inside.up_fails = Some(told.into()));
        house.push("feature/x").await;
        let failed = house.reaches("feature/x", Phase::Failed).await;
        let reason = failed.reason.unwrap();
        assert!(reason.contains("web said ***, *** and ***"), "{reason}");
        let store = house.orchestrator.house().store.clone();
        let runs = store.deployments(failed.id).await.unwrap();
        assert!(runs[0].reason.as_deref().unwrap().contains("web said ***"), "{runs:?}");
        let log = house.orchestrator.house().ports.logs.read(failed.id, runs[0].id).await.unwrap().join("\n");
        assert!(log.contains("web said ***") && !log.contains("c4nary"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn the_api_takes_a_value_and_never_gives_it() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let (path, value) = ("/api/v1/secrets/set", "dGhlIHZhbHVl");
        let asked = json!({"repo": "shop", "name": "A", "branches": "release/**", "value": value});
        let (status, made) = doors.by_socket("POST", path, &asked).await;
        assert_eq!((status, &made["branches"]), (200, &json!("release/**")), "{made}");
        let (_, list) = doors.by_socket("GET", "/api/v1/secrets?repo=shop", &Value::Null).await;
        assert_eq!(list["items"], json!([made]));
        for answer in [&made, &list] {
            let text = answer.to_string();
            assert!(!text.contains("the value") && !text.contains(value), "{text}");
        }
        for (key, wrong, status) in [
            ("repo", json!("unknown"), 404),
            ("name", json!("../a"), 400),
            ("branches", json!("a["), 400),
            ("value", json!("c2hvcnQ="), 400),
            ("value", json!("no base64"), 400),
            ("trust", json!("fork"), 400),
        ] {
            let mut asked = asked.clone();
            asked[key] = wrong;
            let (found, answer) = doors.by_socket("POST", path, &asked).await;
            assert_eq!(found, status, "{key}: {answer}");
            assert!(
                answer["error"]["message"].as_str().unwrap().contains(key.trim_start_matches("repo")),
                "{answer}"
            );
        }
        let qa = doors.token("qa").await;
        assert_eq!(doors.by_tcp("GET", "/api/v1/secrets", Some(&qa)).await.0, 403);
        let named = json!({"repo": "shop", "name": "A", "branches": "release/**"});
        assert_eq!(doors.by_socket("POST", "/api/v1/secrets/remove", &named).await.0, 200);
        assert_eq!(doors.by_socket("POST", "/api/v1/secrets/remove", &named).await.0, 404);
    })
    .await;
}
