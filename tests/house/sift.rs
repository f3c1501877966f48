//! Pushes that are passed over, and branches that are deployed merged into their target.

use std::time::Duration;

use drey::domain::environment::{Environment, Phase};
use drey::domain::event::{EventKind, EventSource, NewEvent, PullChange};
use drey::domain::forge::Forge;
use drey::domain::pull_request::{Head, PullRequest, PullState, Subject};

use crate::harness::{TestHouse, branch, document, eventually, in_house, repo, sha};

impl TestHouse {
    fn has_message(&self, commit: char, message: &str) {
        self.world.with(|inside| inside.changes.messages.insert(sha(commit), message.to_owned()));
    }

    fn changes(&self, commit: char, paths: &[&str]) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.world.with(|inside| inside.changes.paths.insert(sha(commit), paths));
    }

    /// Only these paths concern environments.
    fn sift(&self, patterns: &[&str]) {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        self.world.with(|inside| inside.paths = patterns);
        self.configure();
    }

    fn merge_subjects(&self) {
        self.world.with(|inside| inside.subject = Subject::Merge);
        self.configure();
    }

    /// Waits until the push was looked at.
    async fn knows(&self, name: &str, commit: char) -> Environment {
        eventually(&format!("{name} is known at {commit}"), || async {
            let environment = self.environment(name).await;
            environment.is_some_and(|it| it.commit == Some(sha(commit)) && !it.has_work())
        })
        .await;
        self.environment(name).await.unwrap()
    }
}

#[tokio::test]
async fn a_message_that_says_so_leaves_what_runs_as_it_is() {
    in_house(|house| async move {
        house.begin().await;
        house.commit('c', "feature/x", &['b'], document());
        house.has_message('c', "Typo\n\n[Skip Drey]\n");
        house.push("feature/x").await;
        let there = house.knows("feature/x", 'c').await;
        assert_eq!((there.phase, there.running_commit.clone()), (Phase::Ready, Some(sha('b'))));
        let told = "cccccccc is passed over: its message says [skip drey]";
        assert_eq!(there.reason.as_deref(), Some(told));
        assert_eq!(house.world.with(|inside| inside.ups), 1);
        // The next one takes all that came before along.
        house.commit('d', "feature/x", &['c'], document());
        house.push("feature/x").await;
        let there = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!((there.running_commit, there.reason), (Some(sha('d')), None));
    })
    .await;
}

#[tokio::test]
async fn what_a_person_asks_for_is_never_passed_over() {
    in_house(|house| async move {
        house.begin().await;
        house.commit('c', "feature/x", &['b'], document());
        house.has_message('c', "[drey skip]");
        house.push("feature/x").await;
        house.knows("feature/x", 'c').await;
        let branch = branch("feature/x");
        house.tell(EventKind::DeployRequested { branch: branch.clone(), rebuild: false, pull: false }).await;
        let there = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!((there.running_commit, there.reason), (Some(sha('c')), None));
        let store = &house.orchestrator.house().store;
        assert_eq!(store.passed_over(&repo(), &branch).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn what_sleeps_goes_on_sleeping_and_wakes_as_it_was() {
    in_house(|house| async move {
        house.begin().await;
        let branch = branch("feature/x");
        house
            .tell(EventKind::SleepRequested {
                branch: branch.clone(),
                why: "quiet".to_owned(),
                gives_way: false,
            })
            .await;
        house.reaches("feature/x", Phase::Asleep).await;
        house.commit('c', "feature/x", &['b'], document());
        house.has_message('c', "[skip drey]");
        house.push("feature/x").await;
        let there = house.knows("feature/x", 'c').await;
        assert_eq!((there.phase, there.reason.as_deref()), (Phase::Asleep, Some("quiet")));
        house.tell(EventKind::WakeRequested { branch }).await;
        let there = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(there.running_commit, Some(sha('b')));
    })
    .await;
}

#[tokio::test]
async fn a_branch_that_never_ran_ends_without_a_trace_and_comes_back_with_its_next_push() {
    in_house(|house| async move {
        let house = house.polling(Duration::from_millis(20)).await;
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        house.has_message('b', "wip [skip drey]");
        house.push("feature/x").await;
        let gone = house.reaches("feature/x", Phase::Destroyed).await;
        assert!(gone.reason.unwrap().starts_with("bbbbbbbb is passed over"));
        assert_eq!(house.things_on_the_engine(), 0);
        let asked = house.world.with(|inside| inside.asked);
        eventually("the remote is asked a few times", || async {
            house.world.with(|inside| inside.asked) > asked + 5
        })
        .await;
        assert_eq!(house.environment("feature/x").await.unwrap().id, gone.id, "no look brings it back");
        house.commit('c', "feature/x", &['b'], document());
        let there = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(there.running_commit, Some(sha('c')));
        assert!(house.world.with(|inside| inside.archives.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn only_what_changes_the_paths_gets_an_environment() {
    in_house(|house| async move {
        house.sift(&["web/**", "!web/docs/**"]);
        house.commit('a', "main", &[], document());
        house.commit('b', "docs", &['a'], document());
        house.changes('b', &["README", "web/docs/a.md"]);
        house.push("docs").await;
        let gone = house.reaches("docs", Phase::Destroyed).await;
        assert_eq!(
            gone.reason.as_deref(),
            Some("bbbbbbbb is passed over: the branch changes nothing of `paths` ([[repo]])")
        );
        house.commit('c', "docs", &['b'], document());
        house.changes('c', &["README", "web/docs/a.md", "web/index.html"]);
        house.push("docs").await;
        house.reaches("docs", Phase::Ready).await;
        // Its changes were taken back: what runs stays until something matches again.
        house.commit('d', "docs", &['c'], document());
        house.changes('d', &["README"]);
        house.push("docs").await;
        let there = house.knows("docs", 'd').await;
        assert_eq!((there.phase, there.running_commit), (Phase::Ready, Some(sha('c'))));
    })
    .await;
}

#[tokio::test]
async fn a_push_that_came_into_a_deployment_takes_its_place_whatever_it_says() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let stopped = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        eventually("it starts", || async {
            house.environment("feature/x").await.is_some_and(|it| it.phase == Phase::Starting)
        })
        .await;
        house.commit('c', "feature/x", &['b'], document());
        house.has_message('c', "[skip drey]");
        house.push("feature/x").await;
        drop(stopped);
        let there = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(there.running_commit, Some(sha('c')));
    })
    .await;
}

#[tokio::test]
async fn a_branch_is_deployed_merged_into_main_and_known_by_its_own_commit() {
    in_house(|house| async move {
        house.merge_subjects();
        house.begin().await;
        let there = house.environment("feature/x").await.unwrap();
        assert_eq!((there.commit, there.running_commit), (Some(sha('b')), Some(sha('b'))));
        let made = house.world.with(|inside| {
            inside.commits.values().filter(|(parents, _)| *parents == [sha('a'), sha('b')]).count()
        });
        assert_eq!(made, 1, "the merge was made");
        house.commit('c', "feature/x", &['b'], document());
        let paths = ["a.txt", "b.txt"].map(str::to_owned).to_vec();
        house.world.with(|inside| inside.changes.conflicts = paths);
        house.push("feature/x").await;
        let failed = house.reaches("feature/x", Phase::Failed).await;
        let told = "cannot be merged into main: conflicts in a.txt, b.txt: merge main into the branch";
        assert_eq!(failed.reason.as_deref(), Some(told));
        assert!(failed.serving, "what ran before goes on");
        assert_eq!(failed.running_commit, Some(sha('b')));
    })
    .await;
}

#[tokio::test]
async fn the_target_is_that_of_the_open_pull_request() {
    in_house(|house| async move {
        house.merge_subjects();
        house.commit('a', "main", &[], document());
        house.commit('d', "develop", &['a'], document());
        house.commit('b', "feature/x", &['a'], document());
        let pull = PullRequest {
            forge: Forge::Gitlab,
            number: 3,
            title: "x".to_owned(),
            author: "ann".to_owned(),
            source: "feature/x".to_owned(),
            branch: branch("feature/x"),
            target: branch("develop"),
            url: None,
            state: PullState::Open,
            draft: false,
            labels: Vec::new(),
            head: Some(Head::from(sha('b'))),
            fork: None,
            merge_commit: None,
            changed_at: None,
        };
        house.tell(EventKind::PullRequest { change: PullChange::Opened, pull: Box::new(pull) }).await;
        house.reaches("feature/x", Phase::Ready).await;
        let made = house.world.with(|inside| {
            inside.commits.values().filter(|(parents, _)| *parents == [sha('d'), sha('b')]).count()
        });
        assert_eq!(made, 1);
    })
    .await;
}

#[tokio::test]
async fn a_push_that_was_told_without_its_commit_is_passed_over_too() {
    in_house(|house| async move {
        house.begin().await;
        house.commit('c', "feature/y", &['a'], document());
        house.has_message('c', "[skip drey]");
        let created = EventKind::BranchCreated { branch: branch("feature/y"), commit: None };
        house.tell(created).await;
        house.reaches("feature/y", Phase::Destroyed).await;
        let branch = branch("feature/y");
        house.tell(EventKind::DeployRequested { branch, rebuild: false, pull: false }).await;
        house.reaches("feature/y", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn that_a_branch_is_there_may_be_told_before_its_first_push() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "x", &['a'], document());
        house.has_message('b', "[skip drey]");
        let event = |kind| NewEvent {
            source: EventSource::Github,
            repo: repo(),
            kind,
            delivery_id: None,
            skip: false,
        };
        let created = EventKind::BranchCreated { branch: branch("x"), commit: None };
        let pushed = EventKind::BranchPushed { branch: branch("x"), before: sha('0'), commit: sha('b') };
        house.orchestrator.submit(None, &[event(created), event(pushed)]).await.unwrap();
        let gone = house.reaches("x", Phase::Destroyed).await;
        assert_eq!(gone.generation.0, 2, "both wanted something");
        assert_eq!(house.world.with(|inside| (inside.ups, inside.archives.len())), (0, 0));
    })
    .await;
}
