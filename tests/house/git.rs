//! Deliveries are hints: what git says at the remote decides, whether anybody told of it or not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drey::domain::environment::{Ending, Outcome, Phase};
use drey::domain::event::{EventKind, EventSource, NewEvent};
use drey::domain::names::{BranchName, CommitSha};
use drey::store::EventFilter;

use crate::harness::{TestHouse, branch, document, eventually, in_house, repo, sha};

const POLL_EVERY: Duration = Duration::from_millis(30);

/// A remote that changes by itself, and tells of some of it.
struct Remote<'a> {
    house: &'a TestHouse,
    commits: u64,
    /// Of 10 deliveries so many are lost.
    lost: u64,
    deliveries: u64,
    merged: BTreeSet<BranchName>,
}

impl Remote<'_> {
    /// A commit on the branch, on top of main; told, or not.
    async fn push(&mut self, name: &str) {
        let main = self.tip("main").unwrap();
        let commit = self.new_commit(vec![main]);
        self.set(name, Some(commit)).await;
    }

    async fn merge(&mut self, name: &str) {
        let parents = vec![self.tip("main").unwrap(), self.tip(name).unwrap()];
        let commit = self.new_commit(parents);
        self.merged.insert(branch(name));
        self.set("main", Some(commit)).await;
    }

    fn new_commit(&mut self, parents: Vec<CommitSha>) -> CommitSha {
        self.commits += 1;
        let commit = CommitSha::parse(&format!("{:040x}", self.commits)).unwrap();
        self.house.world.with(|inside| inside.commits.insert(commit.clone(), (parents, document())));
        commit
    }

    fn tip(&self, name: &str) -> Option<CommitSha> {
        self.house.world.with(|inside| inside.tips.get(&branch(name)).cloned())
    }

    async fn set(&mut self, name: &str, tip: Option<CommitSha>) {
        let branch = branch(name);
        let before = self.house.world.with(|inside| match &tip {
            Some(tip) => inside.tips.insert(branch.clone(), tip.clone()),
            None => inside.tips.remove(&branch),
        });
        self.deliveries += 1;
        if self.deliveries * 7 % 10 < self.lost {
            return;
        }
        let kind = match (before, tip) {
            (Some(before), Some(commit)) => EventKind::BranchPushed { branch, before, commit },
            (None, Some(commit)) => EventKind::BranchCreated { branch, commit: Some(commit) },
            (Some(before), None) => EventKind::BranchDeleted { branch, before: Some(before) },
            (None, None) => return,
        };
        self.house.tell(kind).await;
    }

    /// Each branch that is there and not merged runs at its tip, and nothing else does.
    async fn is_mirrored(&self) -> bool {
        let tips = self.house.world.with(|inside| inside.tips.clone());
        let wanted: BTreeMap<BranchName, CommitSha> = tips
            .into_iter()
            .filter(|(branch, _)| branch.as_str() != "main" && !self.merged.contains(branch))
            .collect();
        let live = self.house.orchestrator.house().store.environments(false).await.unwrap();
        let settled = live.iter().all(|it| it.phase == Phase::Ready && it.ending.is_none() && !it.has_work());
        let running = live.into_iter().filter_map(|it| Some((it.branch, it.running_commit?)));
        settled && running.collect::<BTreeMap<_, _>>() == wanted
    }
}

async fn events(house: &TestHouse) -> usize {
    let filter = EventFilter { limit: 10_000, ..EventFilter::default() };
    house.orchestrator.house().store.events(&filter).await.unwrap().len()
}

async fn settled(house: &TestHouse) {
    let store = &house.orchestrator.house().store;
    eventually("every event is settled", || async { store.pending_events().await.unwrap().is_empty() }).await;
}

/// Waits until the remote was asked so many times more.
async fn polls(house: &TestHouse, times: usize) {
    let begin = house.world.with(|inside| inside.asked);
    eventually("the remote is asked", || async { house.world.with(|inside| inside.asked) >= begin + times })
        .await;
}

#[tokio::test]
async fn with_a_part_of_the_deliveries_and_with_none_the_end_is_what_the_refs_say() {
    in_house(|house| async move {
        let house = house.polling(POLL_EVERY).await;
        house.commit('a', "main", &[], document());
        for lost in [3, 10] {
            let mut remote =
                Remote { house: &house, commits: lost << 32, lost, deliveries: 0, merged: BTreeSet::new() };
            for name in ["still", "moved", "gone", "merged", "again", "same"] {
                remote.push(name).await;
            }
            eventually("all of them run", || remote.is_mirrored()).await;
            let same = remote.tip("same");
            for name in ["gone", "again", "same"] {
                remote.set(name, None).await;
            }
            remote.push("moved").await;
            remote.push("moved").await;
            remote.merge("merged").await;
            eventually("what is gone or merged has ended", || async {
                let live = house.orchestrator.house().store.environments(false).await.unwrap();
                live.len() == 2
            })
            .await;
            remote.push("again").await;
            remote.set("same", same).await;
            remote.push("new").await;
            eventually("the end is what the refs say", || remote.is_mirrored()).await;
            // The next round begins with an empty remote.
            for name in ["still", "moved", "merged", "again", "same", "new"] {
                remote.set(name, None).await;
            }
            remote.merged.clear();
            eventually("all of them are over", || remote.is_mirrored()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_repository_writes_nothing_however_often_it_is_asked() {
    in_house(|house| async move {
        let house = house.polling(POLL_EVERY).await;
        house.begin().await;
        // What stays at the remote and is to have no environment: passed over, ended, and one that failed.
        house.commit('c', "skipped", &['a'], document());
        let skipped = NewEvent {
            source: EventSource::Git,
            repo: repo(),
            kind: EventKind::BranchCreated { branch: branch("skipped"), commit: Some(sha('c')) },
            delivery_id: None,
            skip: true,
        };
        house.orchestrator.submit(None, &[skipped]).await.unwrap();
        house.commit('d', "ended", &['a'], document());
        house.reaches("ended", Phase::Ready).await;
        house.tell(EventKind::EndRequested { branch: branch("ended"), archive: false }).await;
        house.reaches("ended", Phase::Destroyed).await;
        house.world.with(|inside| inside.up_fails = Some("no".into()));
        house.commit('e', "failed", &['a'], document());
        house.reaches("failed", Phase::Failed).await;
        polls(&house, 2).await;
        settled(&house).await;
        let store = &house.orchestrator.house().store;
        let before = (events(&house).await, store.environments(true).await.unwrap());
        polls(&house, 10).await;
        assert_eq!((events(&house).await, store.environments(true).await.unwrap()), before);
    })
    .await;
}

#[tokio::test]
async fn a_branch_that_only_a_delivery_knows_leaves_neither_environment_nor_archive() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house
            .tell(EventKind::BranchPushed { branch: branch("invented"), before: sha('0'), commit: sha('9') })
            .await;
        let over = house.reaches("invented", Phase::Destroyed).await;
        assert_eq!(over.reason.as_deref(), Some("the remote has no such branch"));
        assert_eq!(house.world.with(|inside| inside.archives.len()), 0);
        assert_eq!(house.things_on_the_engine(), 0);
        assert_eq!(house.world.with(|inside| inside.ups), 0);
        // The delivery was only faster than the remote: then it is as every other.
        house.commit('9', "invented", &['a'], document());
        house.tell(EventKind::Look).await;
        house.reaches("invented", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_the_remote_does_not_confirm_changes_nothing() {
    in_house(|house| async move {
        house.begin().await;
        let ready = house.environment("feature/x").await.unwrap();
        let ups = house.world.with(|inside| inside.ups);
        let claim = async |commit| {
            let kind = EventKind::BranchPushed {
                branch: branch("feature/x"),
                before: sha('0'),
                commit: sha(commit),
            };
            house.tell(kind).await;
            eventually("it was looked into", || async {
                !house.environment("feature/x").await.unwrap().has_work()
            })
            .await;
            house.environment("feature/x").await.unwrap()
        };
        // Invented, late, and one that was never of this branch.
        for commit in ['9', '8', 'a'] {
            let after = claim(commit).await;
            assert_eq!((after.phase, after.commit.clone()), (Phase::Ready, Some(sha('b'))));
            assert_eq!(after.run_generation, ready.run_generation, "its archive will be the same one");
        }
        assert_eq!(house.world.with(|inside| inside.ups), ups, "the containers were not touched");

        // What failed, and is about to end, goes on like that.
        house.world.with(|inside| inside.up_fails = Some("no".into()));
        let mut changed = document();
        changed["services"]["web"]["command"] = serde_json::json!(["second"]);
        house.commit('c', "feature/x", &['b'], changed);
        house.push("feature/x").await;
        let failed = house.reaches("feature/x", Phase::Failed).await;
        let store = &house.orchestrator.house().store;
        let ending =
            Ending { outcome: Outcome::Merged, due_at: failed.updated_at.plus(Duration::from_secs(900)) };
        store.set_ending(failed.id, Some(ending), failed.updated_at).await.unwrap();
        let before = house.environment("feature/x").await.unwrap();
        let after = claim('b').await;
        assert_eq!((&after.reason, after.ending), (&before.reason, Some(ending)));
        assert_eq!(after.phase, Phase::Failed);

        // Who asks for a deployment gets one.
        house.world.with(|inside| inside.up_fails = None);
        let kind = EventKind::DeployRequested { branch: branch("feature/x"), rebuild: false, pull: false };
        house.tell(kind).await;
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(house.world.with(|inside| inside.ups), ups + 1);
    })
    .await;
}

#[tokio::test]
async fn a_late_delivery_of_main_ends_no_branch_that_was_made_since() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "main", &['a'], document());
        house.tell(EventKind::Look).await;
        house.commit('b', "fresh", &['a'], document());
        house.push("fresh").await;
        house.reaches("fresh", Phase::Ready).await;
        // Main moved before the branch was made; only the news of it come late.
        house.push_main('a').await;
        settled(&house).await;
        assert_eq!(house.reaches("fresh", Phase::Ready).await.ending, None);
    })
    .await;
}

#[tokio::test]
async fn a_remote_that_is_away_is_told_and_asked_until_it_answers() {
    in_house(|house| async move {
        let house = house.polling(POLL_EVERY).await;
        house.begin().await;
        let inner = house.orchestrator.house().clone();
        house.world.with(|inside| inside.remote_fails = Some("repository shop: no route to host".into()));
        eventually("it is known to be away", || async { inner.remotes.is_away(&repo()).is_some() }).await;
        let state = inner.remotes.state(&repo());
        assert_eq!(state.poll_error.as_deref(), Some("repository shop: no route to host"));
        let asked = house.world.with(|inside| inside.asked);
        house.tell(EventKind::Look).await;
        house.commit('c', "feature/x", &['b'], document());
        house.commit('d', "feature/y", &['a'], document());
        tokio::time::sleep(POLL_EVERY * 12).await;
        let polled = house.world.with(|inside| inside.asked) - asked;
        assert!((1..=8).contains(&polled), "asked {polled} times, with growing pauses");
        assert_eq!(
            house.environment("feature/x").await.unwrap().running_commit,
            Some(sha('b')),
            "it goes on"
        );
        house.world.with(|inside| inside.remote_fails = None);
        inner.remotes.answers(&repo()).await;
        house.reaches("feature/y", Phase::Ready).await;
        eventually("the update is there", || async {
            house.environment("feature/x").await.unwrap().running_commit == Some(sha('c'))
        })
        .await;
        assert_eq!(inner.remotes.state(&repo()).poll_error, None);
    })
    .await;
}

#[tokio::test]
async fn without_its_main_branch_a_repository_is_followed_and_the_fault_is_told() {
    in_house(|house| async move {
        let house = house.polling(POLL_EVERY).await;
        house.commit('b', "feature/x", &[], document());
        house.reaches("feature/x", Phase::Ready).await;
        let inner = house.orchestrator.house().clone();
        let error = inner.remotes.state(&repo()).poll_error.unwrap();
        assert!(error.contains("it has no branch main"), "{error}");
        house.world.with(|inside| inside.tips.remove(&branch("feature/x")));
        house.reaches("feature/x", Phase::Archived).await;
    })
    .await;
}
