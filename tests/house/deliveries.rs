//! Webhooks of forges, as they come over real connections: taken or refused, in any order and number.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use drey::domain::environment::{Outcome, Phase};
use drey::domain::event::{Event, EventKind, EventState};
use drey::domain::names::{BranchName, CommitSha, RepoName};
use drey::domain::pull_request::{DeployMode, PullRules};
use drey::store::EventFilter;
use drey::web::{BorderRules, Served, Web};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{TestHouse, branch, document, eventually, in_house, repo};

const SECRET: &str = "the secret of shop";

/// Opens the port of a house whose repository has this secret; `signed` has another.
async fn opened(house: &TestHouse, secret: &str, signing: &str) -> SocketAddr {
    let signed = RepoName::parse("signed").unwrap();
    let secrets =
        BTreeMap::from([(repo(), secret.as_bytes().to_vec()), (signed, signing.as_bytes().to_vec())]);
    let border =
        BorderRules { trusted_proxies: Vec::new(), rate_per_address: 10_000, rate_per_repository: 10_000 };
    let served = Served {
        secrets,
        projects: BTreeMap::new(),
        repositories: BTreeMap::new(),
        border,
        traefik: None,
        public_url: None,
    };
    let folder = house.folder.path().to_owned();
    let web = Web::new(house.orchestrator.clone(), served, folder, Box::new(|_| String::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    web.serve_tcp(listener);
    address
}

/// Sends it and says the status of the answer.
async fn send(to: SocketAddr, path: &str, headers: &[(String, String)], body: &str) -> u16 {
    let mut head = format!(
        "POST /hooks/{path} HTTP/1.1\r\nHost: drey\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}

fn sign(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// As GitHub signs and sends.
async fn github(to: SocketAddr, event: &str, id: &str, body: &Value) -> u16 {
    let body = body.to_string();
    let headers = [
        ("X-GitHub-Event", event.to_owned()),
        ("X-GitHub-Delivery", id.to_owned()),
        ("X-Hub-Signature-256", format!("sha256={}", sign(SECRET, &body))),
    ];
    let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    send(to, "github/shop", &headers, &body).await
}

async fn events(house: &TestHouse) -> Vec<Event> {
    let filter = EventFilter { limit: 100_000, ..Default::default() };
    house.orchestrator.house().store.events(&filter).await.unwrap()
}

async fn is_still(house: &TestHouse) -> bool {
    let store = &house.orchestrator.house().store;
    let live = store.environments(false).await.unwrap();
    store.pending_events().await.unwrap().is_empty() && live.iter().all(|it| !it.has_work())
}

/// The folder with recorded deliveries; none where it is not beside the checkout.
fn corpora() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let folder = std::env::var_os("DREY_CORPORA").map_or_else(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn case(name: &str) -> Value {
    let file = corpora().unwrap().join("webhooks").join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn headers(case: &Value) -> Vec<(String, String)> {
    if case["forge"] == "git-hook" {
        let signature =
            format!("sha256={}", sign(case["secret"].as_str().unwrap(), case["body_text"].as_str().unwrap()));
        let id = case["delivery_id"].as_str().unwrap_or("git").to_owned();
        return vec![("X-Drey-Signature-256".to_owned(), signature), ("X-Drey-Delivery".to_owned(), id)];
    }
    let headers = case["headers"].as_object().unwrap().iter();
    headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn path(case: &Value) -> String {
    let forge = match case["forge"].as_str().unwrap() {
        "git-hook" => "git",
        forge => forge,
    };
    let signed = case["expected"]["signing_token"].is_string();
    format!("{forge}/{}", if signed { "signed" } else { "shop" })
}

fn is_status(status: u16, expected: &Value) -> bool {
    let expected =
        expected.as_u64().map_or_else(|| expected.as_str().unwrap().to_owned(), |it| it.to_string());
    expected.split(" or ").any(|one| match one {
        "2xx" => (200..300).contains(&status),
        number => number.parse() == Ok(status),
    })
}

#[tokio::test]
async fn recorded_deliveries_are_taken_or_refused_and_three_copies_are_one() {
    let Some(folder) = corpora() else { return };
    let mut names: Vec<String> = std::fs::read_dir(folder.join("webhooks"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() > 100);
    for name in names {
        let case = case(&name);
        in_house(|house| thrice(house, case)).await;
    }
}

/// Three copies of it at once.
async fn thrice(house: TestHouse, case: Value) {
    let (name, expected) = (case["name"].as_str().unwrap(), &case["expected"]);
    let signing = expected["signing_token"].as_str().unwrap_or("none");
    house.commit('a', "main", &[], document());
    if let Some(now) = expected["verify_at_unix"].as_i64() {
        house.world.with(|inside| inside.now = now * 1000);
    }
    let to = opened(&house, case["secret"].as_str().unwrap(), signing).await;
    let before = events(&house).await.len();
    let (path, headers, body) = (path(&case), headers(&case), case["body_text"].as_str().unwrap());
    let copies = std::iter::repeat_with(|| send(to, &path, &headers, body)).take(3);
    for status in futures_util::future::join_all(copies).await {
        assert!(is_status(status, &expected["http_status"]), "{name}: {status}");
    }
    if expected["jobs"] == 0 {
        assert_eq!(events(&house).await.len(), before, "{name}");
    } else if expected["http_status"] == "2xx" {
        let told: Vec<Event> =
            events(&house).await.into_iter().filter(|event| event.delivery_id.is_some()).collect();
        let count = expected["events"].as_array().map_or(1, Vec::len);
        assert!(told.len() == count || expected["effect"] == "reconcile_refs", "{name}: {told:?}");
        let id = case["delivery_id"].as_str().or(Some("git"));
        assert!(told.iter().all(|event| event.delivery_id.as_deref() == id), "{name}: {told:?}");
    }
}

/// The commit that a recorded delivery says the branch is at.
fn tip(expected: &Value) -> Option<CommitSha> {
    let cut = expected["sha_prefix"].as_str().map(|cut| format!("{cut:0<40}"));
    CommitSha::parse(&expected["sha"].as_str().map(ToOwned::to_owned).or(cut)?).ok()
}

/// Does at the remote what the delivery tells of.
fn happens(house: &TestHouse, expected: &Value, is_there: bool) {
    let Some(name) = expected["branch"].as_str() else { return };
    let name = branch(name);
    house.world.with(|inside| match expected["kind"].as_str().unwrap() {
        "branch_deleted" => drop(inside.tips.remove(&name)),
        "branch_created" | "branch_pushed" | "pr_opened" | "pr_updated" if is_there => {
            let tip =
                tip(expected).unwrap_or_else(|| {
                    inside.tips.get(&name).cloned().unwrap_or_else(|| {
                        CommitSha::parse("d2b75aa7797ec26b088fa2dd527e9d2c052fcedd").unwrap()
                    })
                });
            let main = inside.tips[&branch("main")].clone();
            inside.commits.insert(tip.clone(), (vec![main], document()));
            inside.tips.insert(name, tip);
        }
        _ => {}
    });
}

#[tokio::test]
async fn recorded_sequences_end_where_they_must() {
    let Some(folder) = corpora() else { return };
    let sequences: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.join("webhook-sequences.json")).unwrap()).unwrap();
    assert!(sequences.len() > 10);
    for sequence in sequences {
        in_house(|house| play(house, sequence)).await;
    }
}

async fn play(house: TestHouse, sequence: Value) {
    let name = sequence["name"].as_str().unwrap();
    house.commit('a', "main", &[], document());
    let cases: Vec<Value> =
        sequence["deliveries"].as_array().unwrap().iter().map(|name| case(name.as_str().unwrap())).collect();
    let by_pulls = cases.iter().any(|case| case["expected"]["kind"] == "pr_closed_unmerged");
    let deploy = if by_pulls { DeployMode::PullRequests } else { DeployMode::Branches };
    house.world.with(|inside| {
        inside.pulls = PullRules { deploy, ..PullRules::default() };
        inside.keep.clear();
    });
    let house = house.restart().await;
    let to = opened(&house, cases[0]["secret"].as_str().unwrap(), "none").await;
    let ends_there = sequence["remote_has_branch_at_end"] != false;
    for (number, case) in cases.iter().enumerate() {
        let is_last = number + 1 == cases.len();
        happens(&house, &case["expected"], ends_there || !is_last);
        let mut headers = headers(case);
        if sequence["fresh_delivery_ids"] == true {
            let id = case["delivery_id"].as_str().unwrap();
            headers.iter_mut().for_each(|(_, value)| *value = value.replace(id, &format!("{id}-{number}")));
        }
        let status = send(to, &path(case), &headers, case["body_text"].as_str().unwrap()).await;
        assert!(is_status(status, &case["expected"]["http_status"]), "{name}: {status}");
        eventually("it is dealt with", || is_still(&house)).await;
    }
    let end = &sequence["end"];
    let there = house.environment(end["branch"].as_str().unwrap()).await;
    match end["state"].as_str().unwrap() {
        "running" => {
            let there = there.unwrap();
            assert_eq!(there.phase, Phase::Ready, "{name}: {there:?}");
            let sha = end["sha"].as_str();
            assert!(sha.is_none_or(|sha| there.running_commit.unwrap().as_str() == sha), "{name}");
        }
        "gone" => assert!(there.as_ref().is_none_or(|it| it.phase.is_over()), "{name}: {there:?}"),
        other => panic!("{other}"),
    }
    let archives = house.world.with(|inside| inside.archives.len());
    let most = sequence["archives_max"].as_u64().or(sequence["archives"].as_u64()).unwrap_or(1);
    assert!(archives <= usize::try_from(most).unwrap(), "{name}: {archives} archives");
    let deploys = house.world.with(|inside| inside.ups);
    let most = sequence["deploys_max"].as_u64().unwrap_or(9);
    assert!(deploys <= usize::try_from(most).unwrap(), "{name}: {deploys} deployments");
}

/// A branch's life in GitHub's words.
fn life(name: &str, commits: [&CommitSha; 2], number: u64, merged: bool) -> Vec<(&'static str, Value)> {
    let zero = "0".repeat(40);
    let push = |before: &str, after: &str| {
        ("push", json!({"ref": format!("refs/heads/{name}"), "before": before, "after": after}))
    };
    let pull = |action: &str, head: &CommitSha, second: u64, merged: bool| {
        let state = if action == "closed" { "closed" } else { "open" };
        let repo = json!({"full_name": "team/shop"});
        let pull = json!({
            "number": number, "title": "x", "user": {"login": "anna"}, "state": state, "merged": merged,
            "updated_at": format!("2026-01-01T00:00:{second:02}Z"),
            "head": {"ref": name, "sha": head, "repo": repo}, "base": {"ref": "main", "repo": repo},
        });
        (
            "pull_request",
            json!({"action": action, "number": number, "pull_request": pull, "repository": repo}),
        )
    };
    let [first, second] = commits.map(CommitSha::as_str);
    let mut life = vec![
        ("create", json!({"ref": name, "ref_type": "branch"})),
        push(&zero, first),
        pull("opened", commits[0], 1, false),
        push(first, second),
        pull("synchronize", commits[1], 2, false),
        pull("labeled", commits[1], 3, false),
    ];
    if merged {
        life.push(pull("closed", commits[1], 4, true));
        life.push(("delete", json!({"ref": name, "ref_type": "branch"})));
        life.push(push(second, &zero));
    }
    life
}

/// Always the same, and different each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[tokio::test]
async fn two_hundred_shuffled_lives_end_as_the_refs_say() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        let to = opened(&house, SECRET, "none").await;
        let mut dice = Dice(7);
        for number in 0_u32..200 {
            let name = format!("life/{number}");
            let commit = |half: u32| CommitSha::parse(&format!("{:040x}", number * 2 + half + 1)).unwrap();
            let (first, second) = (commit(0), commit(1));
            let ends = number % 2 == 0;
            house.world.with(|inside| {
                let main = inside.tips[&branch("main")].clone();
                for commit in [&first, &second] {
                    inside.commits.insert(commit.clone(), (vec![main.clone()], document()));
                }
                // All of it happened before the first word of it arrives.
                if !ends {
                    inside.tips.insert(branch(&name), second.clone());
                }
            });
            let mut life = life(&name, [&first, &second], u64::from(number) + 1, ends);
            for _doubled in 0..dice.below(3) {
                life.push(life[dice.below(life.len())].clone());
            }
            for place in (1..life.len()).rev() {
                life.swap(place, dice.below(place + 1));
            }
            for (place, (event, body)) in life.iter().enumerate() {
                assert_eq!(github(to, event, &format!("{number}-{place}"), body).await, 202);
            }
            eventually("it is dealt with", || is_still(&house)).await;
            let there = house.environment(&name).await;
            match there {
                Some(there) if !ends => {
                    assert_eq!(there.running_commit, Some(second), "{name}: {life:?}");
                    assert_eq!((there.phase, there.ending), (Phase::Ready, None), "{name}: {life:?}");
                }
                Some(there) => assert!(there.phase.is_over(), "{name}: {there:?} {life:?}"),
                None => assert!(ends, "{name}: {life:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_merge_that_the_forge_tells_is_one_whatever_became_of_the_branch() {
    in_house(|house| async move {
        house.begin().await;
        let to = opened(&house, SECRET, "none").await;
        let tip = house.world.with(|inside| inside.tips[&branch("feature/x")].clone());
        let life = life("feature/x", [&tip, &tip], 1, true);
        // Auto-deletion comes first; the branch is merged none the less.
        house.world.with(|inside| drop(inside.tips.remove(&branch("feature/x"))));
        for (place, (event, body)) in life.iter().rev().take(3).rev().enumerate() {
            assert_eq!(github(to, event, &place.to_string(), body).await, 202);
        }
        let gone = house.reaches("feature/x", Phase::Archived).await;
        assert!(matches!(
            gone.intent,
            drey::domain::environment::Intent::End { outcome: Outcome::Merged, archive: true }
        ));
        assert_eq!(house.world.with(|inside| inside.archives.len()), 1);
    })
    .await;
}

#[tokio::test]
async fn a_label_decides_where_that_is_wanted() {
    in_house(|house| async move {
        house.world.with(|inside| {
            inside.pulls = PullRules { deploy: DeployMode::Labelled, ..PullRules::default() };
        });
        let house = house.restart().await;
        house.commit('a', "main", &[], document());
        house.commit('b', "x", &['a'], document());
        let to = opened(&house, SECRET, "none").await;
        let tip = house.world.with(|inside| inside.tips[&branch("x")].clone());
        let life = life("x", [&tip, &tip], 1, false);
        for (place, (event, body)) in life.iter().enumerate() {
            assert_eq!(github(to, event, &place.to_string(), body).await, 202);
        }
        eventually("it is dealt with", || is_still(&house)).await;
        assert_eq!(house.environment("x").await, None);
        let ignored = events(&house).await;
        assert!(ignored.iter().any(|it| it.reason.as_deref().is_some_and(|why| why.contains("\"preview\""))));

        let (_, mut labelled) = life[5].clone();
        labelled["pull_request"]["labels"] = json!([{"name": "preview"}]);
        assert_eq!(github(to, "pull_request", "labelled", &labelled).await, 202);
        house.reaches("x", Phase::Ready).await;
        labelled["pull_request"]["labels"] = json!([]);
        assert_eq!(github(to, "pull_request", "unlabelled", &labelled).await, 202);
        let gone = house.reaches("x", Phase::Archived).await;
        assert!(matches!(
            gone.intent,
            drey::domain::environment::Intent::End { outcome: Outcome::Expired, archive: true }
        ));
    })
    .await;
}

#[tokio::test]
async fn what_a_fork_proposes_is_held_and_no_branch_of_the_repository_is_taken_for_it() {
    in_house(|house| async move {
        house.begin().await;
        let to = opened(&house, SECRET, "none").await;
        let other = CommitSha::parse(&"f".repeat(40)).unwrap();
        let (event, mut body) = life("feature/x", [&other, &other], 7, false)[2].clone();
        body["pull_request"]["head"]["repo"]["full_name"] = json!("mallory/shop");
        assert_eq!(github(to, event, "1", &body).await, 202);
        eventually("it is dealt with", || is_still(&house)).await;
        let store = &house.orchestrator.house().store;
        let held = store.latest_environment(&repo(), &BranchName::pull(7)).await.unwrap().unwrap();
        assert_eq!((held.phase, held.running_commit), (Phase::Blocked, None));
        let own = house.environment("feature/x").await.unwrap();
        assert_ne!(own.commit, Some(other), "the branch of the same name is another one");
        let told = events(&house).await;
        let told = told.iter().find(|event| matches!(event.kind, EventKind::PullRequest { .. })).unwrap();
        assert_eq!(told.state, EventState::Done);

        body["action"] = json!("closed");
        body["pull_request"]["state"] = json!("closed");
        body["pull_request"]["updated_at"] = json!("2026-01-01T00:00:09Z");
        assert_eq!(github(to, event, "2", &body).await, 202);
        eventually("it is gone", || async {
            let latest = store.latest_environment(&repo(), &BranchName::pull(7)).await.unwrap();
            latest.is_some_and(|it| it.phase.is_over())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_environment_outlives_only_pull_requests_that_were_told() {
    in_house(|house| async move {
        house.begin().await;
        let deploy = DeployMode::PullRequests;
        house.world.with(|inside| inside.pulls = PullRules { deploy, ..PullRules::default() });
        house.configure();
        let to = opened(&house, SECRET, "none").await;
        house.tell(EventKind::Look).await;
        eventually("it is dealt with", || is_still(&house)).await;
        let there = house.environment("feature/x").await.unwrap();
        assert_eq!(
            (there.phase, there.ending),
            (Phase::Ready, None),
            "its pull request may be older than the hook"
        );

        let tip = house.world.with(|inside| inside.tips[&branch("feature/x")].clone());
        let (event, mut body) = life("feature/x", [&tip, &tip], 1, true)[6].clone();
        body["pull_request"]["merged"] = json!(false);
        assert_eq!(github(to, event, "1", &body).await, 202);
        let gone = house.reaches("feature/x", Phase::Archived).await;
        assert!(matches!(
            gone.intent,
            drey::domain::environment::Intent::End { outcome: Outcome::Expired, archive: true }
        ));
    })
    .await;
}

#[tokio::test]
async fn events_of_a_pull_request_are_found_by_its_branch() {
    in_house(|house| async move {
        house.begin().await;
        let to = opened(&house, SECRET, "none").await;
        let tip = house.world.with(|inside| inside.tips[&branch("feature/x")].clone());
        let (event, body) = life("feature/x", [&tip, &tip], 1, false)[2].clone();
        assert_eq!(github(to, event, "1", &body).await, 202);
        let filter = EventFilter { branch: Some(branch("feature/x")), limit: 1, ..Default::default() };
        let newest = house.orchestrator.house().store.events(&filter).await.unwrap();
        assert!(matches!(newest[0].kind, EventKind::PullRequest { .. }), "{newest:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_head_at_every_forge() {
    in_house(|house| async move {
        let to = opened(&house, SECRET, "none").await;
        for forge in ["github", "gitlab", "gitea", "forgejo", "bitbucket"] {
            let mut stream = TcpStream::connect(to).await.unwrap();
            let head = format!(
                "POST /hooks/{forge}/shop HTTP/1.1\r\nHost: drey\r\nConnection: close\r\nContent-Length: 26214401\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 413 "), "{forge}: {}", String::from_utf8_lossy(&answer));
        }
        assert_eq!(send(to, "svn/shop", &[], "{}").await, 404, "no forge of that name");
        assert!(events(&house).await.iter().all(|event| event.delivery_id.is_none()));
    })
    .await;
}
