//! Pull requests of forks: held until somebody lets exactly this commit run, and trusted with nothing then either.

use drey::domain::environment::{Environment, Outcome, Phase};
use drey::domain::event::{EventKind, PullChange};
use drey::domain::forge::Forge;
use drey::domain::names::BranchName;
use drey::domain::places;
use drey::domain::pull_request::{Head, PullRequest, PullState};
use drey::domain::secrets::{Secret, SecretName};
use drey::orchestrator::Submitted;
use drey::store::ArchiveFilter;
use serde_json::{Value, json};

use crate::access::Doors;
use crate::harness::{TestHouse, branch, document, eventually, in_house, repo, sha};

const FORK: &str = "pull:7";
const PLACE: &str = "refs/pull/7/head";

fn pull(head: char) -> PullRequest {
    PullRequest {
        forge: Forge::Github,
        number: 7,
        title: "A change".to_owned(),
        author: "alice".to_owned(),
        source: "main".to_owned(),
        branch: BranchName::pull(7),
        target: branch("main"),
        url: None,
        state: PullState::Open,
        draft: false,
        labels: Vec::new(),
        head: Some(Head::from(sha(head))),
        fork: Some("alice/shop".to_owned()),
        merge_commit: None,
        changed_at: None,
    }
}

impl TestHouse {
    /// The fork is at the commit; the forge has it under the pull request's ref, and tells of it.
    async fn fork_pushes(&self, commit: char, document: Value) -> Submitted {
        self.world.with(|inside| {
            inside.commits.insert(sha(commit), (vec![sha('a')], document));
            inside.changes.pulls.insert(PLACE.to_owned(), sha(commit));
        });
        self.hears(PullChange::Updated, pull(commit)).await
    }

    async fn hears(&self, change: PullChange, pull: PullRequest) -> Submitted {
        self.tell(EventKind::PullRequest { change, pull: Box::new(pull) }).await
    }

    async fn fork(&self) -> Environment {
        self.environment(FORK).await.unwrap()
    }

    async fn approve(&self, commit: char) -> Result<Submitted, String> {
        let environment = self.fork().await;
        let approved = self.orchestrator.approve(&environment, &sha(commit), "ann").await;
        approved.map_err(|refused| refused.to_string())
    }

    /// How most stories begin: the fork is at `b`, which was approved and runs.
    async fn fork_runs(&self) {
        self.commit('a', "main", &[], document());
        self.fork_pushes('b', document()).await;
        self.held_at('b').await;
        self.approve('b').await.unwrap();
        self.reaches(FORK, Phase::Ready).await;
    }

    /// Waits until it is held at the commit.
    async fn held_at(&self, commit: char) -> Environment {
        let waits = format!("--commit {})", sha(commit));
        eventually(&format!("it waits for the approval of {commit}"), || async {
            let fork = self.fork().await;
            let reason = fork.reason.clone().unwrap_or_default();
            fork.phase == Phase::Blocked && !fork.has_work() && reason.ends_with(&waits)
        })
        .await;
        self.fork().await
    }

    /// Ends it; the id of its archive, when there are so many in all.
    async fn ends(&self, number: usize) -> String {
        self.tell(EventKind::EndRequested { branch: branch(FORK), archive: true }).await;
        self.reaches(FORK, Phase::Archived).await;
        assert_eq!(self.world.with(|inside| inside.archives.len()), number);
        let filter = ArchiveFilter { limit: 10, ..Default::default() };
        let archives = self.orchestrator.house().store.archives(&filter).await.unwrap();
        archives[0].id.clone()
    }

    fn fetched(&self) -> usize {
        self.world.with(|inside| inside.changes.fetched.len())
    }
}

#[tokio::test]
async fn nothing_of_a_fork_is_fetched_before_its_commit_is_approved() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.fork_pushes('b', document()).await;
        let held = house.held_at('b').await;
        let told = format!(
            "waits for approval: pull request #7 of alice, commit bbbbbbbb… (drey env approve shop/pull:7 --commit {})",
            sha('b')
        );
        assert_eq!(held.reason, Some(told));
        assert!(!held.serving && held.running_commit.is_none());
        // A person who asks for a deployment has not looked at it yet.
        house.tell(EventKind::DeployRequested { branch: branch(FORK), rebuild: true, pull: true }).await;
        house.held_at('b').await;
        assert_eq!((house.fetched(), house.things_on_the_engine()), (0, 0));

        let refused = house.approve('c').await.unwrap_err();
        assert!(refused.contains(&format!("but at {}", sha('b'))), "{refused}");
        assert_eq!(house.fetched(), 0);
        house.approve('b').await.unwrap();
        let ready = house.reaches(FORK, Phase::Ready).await;
        assert_eq!((ready.running_commit, ready.reason), (Some(sha('b')), None));
        let given = house.orchestrator.house().store.approvals(&repo(), &branch(FORK)).await.unwrap();
        assert_eq!((given[0].by.as_str(), given.len()), ("ann", 1));
    })
    .await;
}

#[tokio::test]
async fn a_new_commit_is_held_again_and_what_ran_goes_on_asleep_or_awake() {
    in_house(|house| async move {
        house.fork_runs().await;
        house.fork_pushes('c', document()).await;
        let held = house.held_at('c').await;
        assert_eq!((held.serving, held.running_commit), (true, Some(sha('b'))));
        assert_eq!(house.fetched(), 1, "the new one was not fetched");
        house
            .tell(EventKind::SleepRequested {
                branch: branch(FORK),
                why: "quiet".to_owned(),
                gives_way: false,
            })
            .await;
        house.reaches(FORK, Phase::Asleep).await;
        house.tell(EventKind::WakeRequested { branch: branch(FORK) }).await;
        let awake = house.reaches(FORK, Phase::Ready).await;
        assert_eq!(awake.running_commit, Some(sha('b')));
        assert_eq!(house.fetched(), 1);
        house.approve('b').await.unwrap_err();
        house.approve('c').await.unwrap();
        eventually("the new one runs", || async {
            house.fork().await.running_commit == Some(sha('c')) && !house.fork().await.has_work()
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_was_fetched_is_what_was_approved_or_it_does_not_run() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.fork_pushes('b', document()).await;
        house.held_at('b').await;
        // The fork moves between the look and the approval, and the delivery is lost.
        house.world.with(|inside| {
            inside.commits.insert(sha('e'), (vec![], document()));
            inside.changes.pulls.insert(PLACE.to_owned(), sha('e'))
        });
        house.approve('b').await.unwrap();
        let held = house.held_at('e').await;
        assert_eq!((held.running_commit, house.things_on_the_engine()), (None, 0));
        house.approve('e').await.unwrap();
        assert_eq!(house.reaches(FORK, Phase::Ready).await.running_commit, Some(sha('e')));
    })
    .await;
}

#[tokio::test]
async fn a_fork_gets_no_secret_though_it_is_approved() {
    in_house(|house| async move {
        let now = house.orchestrator.house().ports.clock.now();
        let name = SecretName::parse("CANARY").unwrap();
        for branches in ["**", "pull:7", "*"] {
            let (repo, name) = (repo(), name.clone());
            let branches = branches.to_owned();
            let secret = Secret { repo, name, branches, created_at: now, updated_at: now };
            house.orchestrator.set_secret(secret, b"the value").await.unwrap();
        }
        house.commit('a', "main", &[], document());
        let mut asking = document();
        asking["x-drey"] = json!({"secrets": {"web": ["CANARY"]}});
        house.fork_pushes('b', asking).await;
        house.held_at('b').await;
        house.approve('b').await.unwrap();
        eventually("it is told why", || async {
            house.fork().await.reason.as_deref()
                == Some("secret CANARY: a fork gets no secrets of shop; leave it out there")
        })
        .await;
        assert_eq!(house.reaches(FORK, Phase::Blocked).await.running_commit, None);
        assert_eq!(house.things_on_the_engine(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_held_takes_nobodys_place() {
    in_house(|house| async move {
        house.world.with(|inside| {
            inside.places = places::Rules {
                total: Some(1),
                when_full: places::WhenFull::SleepOldest,
                ..Default::default()
            }
        });
        house.configure();
        house.begin().await;
        house.fork_pushes('c', document()).await;
        house.held_at('c').await;
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn where_a_forge_keeps_no_ref_the_reason_says_what_to_do() {
    in_house(|house| async move {
        let head = Some(Head::parse("bbbbbbbbbbbb").unwrap());
        let there = PullRequest { forge: Forge::Bitbucket, head, ..pull('b') };
        house.hears(PullChange::Opened, there).await;
        let blocked = house.reaches(FORK, Phase::Blocked).await;
        assert!(blocked.reason.unwrap().contains("push its branch to this repository"));
        house.approve('b').await.unwrap_err();
        assert_eq!(house.fetched(), 0);
    })
    .await;
}

#[tokio::test]
async fn its_end_is_the_forges_to_tell() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.fork_pushes('b', document()).await;
        house.held_at('b').await;
        house.tell(EventKind::Look).await;
        house.held_at('b').await;
        house.approve('b').await.unwrap();
        house.reaches(FORK, Phase::Ready).await;
        house.hears(PullChange::Merged, PullRequest { state: PullState::Merged, ..pull('b') }).await;
        house.reaches(FORK, Phase::Archived).await;
        let archive = house.world.with(|inside| inside.archives.values().next().unwrap().clone());
        assert_eq!(archive["archive"]["outcome"], json!(Outcome::Merged));
        assert_eq!(archive["archive"]["branch"], FORK);
    })
    .await;
}

#[tokio::test]
async fn a_developer_approves_by_the_api_and_nobody_below() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        house.begin().await;
        house.fork_pushes('c', document()).await;
        house.held_at('c').await;
        let (path, body) = ("/api/v1/environments/shop/pull%3A7/approve", json!({"commit": sha('c')}));
        let (qa, developer) = (doors.token("qa").await, doors.token("developer").await);
        assert_eq!(doors.by_tcp("POST", path, Some(&qa)).await.0, 403);
        let (status, answer) = doors.by_tcp("POST", path, Some(&developer)).await;
        assert_eq!(status, 400, "without a commit: {answer}");
        let short = json!({"commit": "cccccccc"});
        assert_eq!(doors.by_socket("POST", path, &short).await.0, 400);
        let (status, answer) = doors.by_socket("POST", path, &json!({"commit": sha('d')})).await;
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "{answer}");
        let own = "/api/v1/environments/shop/feature%2Fx/approve";
        assert_eq!(doors.by_socket("POST", own, &body).await.0, 409);
        let none = "/api/v1/environments/shop/pull%3A8/approve";
        assert_eq!(doors.by_socket("POST", none, &body).await.0, 404);
        house.held_at('c').await;
        let (status, answer) = doors.by_socket("POST", path, &body).await;
        assert_eq!((status, &answer["action"]), (200, &json!("deploying")), "{answer}");
        house.reaches(FORK, Phase::Ready).await;
        let given = house.orchestrator.house().store.approvals(&repo(), &branch(FORK)).await.unwrap();
        assert_eq!(given[0].by, "socket");
    })
    .await;
}

#[tokio::test]
async fn what_nobody_let_run_leaves_no_archive() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.fork_pushes('b', document()).await;
        house.held_at('b').await;
        let closed = PullRequest { state: PullState::Closed, ..pull('b') };
        house.hears(PullChange::Closed, closed).await;
        house.reaches(FORK, Phase::Destroyed).await;
        assert!(house.world.with(|inside| inside.archives.is_empty()));
        // Opened again, it waits as before.
        house.hears(PullChange::Reopened, pull('b')).await;
        house.held_at('b').await;
    })
    .await;
}

#[tokio::test]
async fn an_archive_gives_back_what_was_approved_and_nothing_else() {
    in_house(|house| async move {
        house.fork_runs().await;
        house.fork_pushes('c', document()).await;
        house.held_at('c').await;
        let archive = house.ends(1).await;
        house.orchestrator.restore(&archive).await.unwrap();
        let restored = house.reaches(FORK, Phase::Ready).await;
        assert_eq!(restored.running_commit, Some(sha('b')), "as it ran");

        // One that never came up: what the archive knows of it is its newest commit.
        house.ends(2).await;
        house.fork_pushes('d', document()).await;
        house.held_at('d').await;
        house.world.with(|inside| inside.up_fails = Some("broken".to_owned()));
        house.approve('d').await.unwrap();
        house.reaches(FORK, Phase::Failed).await;
        house.fork_pushes('e', document()).await;
        house.held_at('e').await;
        let archive = house.ends(3).await;
        house.world.with(|inside| inside.up_fails = None);
        house.orchestrator.restore(&archive).await.unwrap();
        let blocked = house.reaches(FORK, Phase::Blocked).await;
        let told = format!("nobody approved commit {} of this fork: it is not restored", sha('e'));
        assert_eq!(blocked.reason, Some(told));
    })
    .await;
}
