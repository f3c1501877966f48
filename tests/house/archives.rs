//! Archives come to an end as well.

use std::time::Duration;

use drey::domain::environment::{ArchiveRecord, Outcome, Phase, RemovalReason};
use drey::domain::event::{Event, EventKind, EventSource, EventState};
use drey::store::{ArchiveFilter, EventFilter};
use serde_json::{Value, json};

use crate::harness::{TestHouse, branch, document, eventually, in_house, sha};

const DAY: i64 = 86_400_000;

impl TestHouse {
    /// Takes a branch with this commit down by hand; its archive.
    async fn archived(&self, name: &str, commit: char, document: Value) -> ArchiveRecord {
        self.commit('a', "main", &[], document.clone());
        self.commit(commit, name, &['a'], document);
        self.push(name).await;
        eventually(&format!("{name} is settled"), || async {
            self.environment(name).await.is_some_and(|environment| !environment.has_work())
        })
        .await;
        assert_eq!(self.environment(name).await.unwrap().reason, None);
        self.tell(EventKind::EndRequested { branch: branch(name), archive: true }).await;
        let ended = self.reaches(name, Phase::Archived).await;
        self.archive(&ended.archive_id()).await
    }

    async fn archive(&self, id: &str) -> ArchiveRecord {
        self.orchestrator.house().store.archive(id).await.unwrap().unwrap()
    }

    async fn kept(&self) -> Vec<String> {
        let archives = self.orchestrator.house().store.archives(&ArchiveFilter::default()).await.unwrap();
        archives.into_iter().map(|archive| archive.id).collect()
    }

    async fn pin(&self, id: &str, pinned: bool) {
        self.orchestrator.house().store.pin_archive(id, pinned).await.unwrap().unwrap();
    }

    /// Asks for the removal, as the command does, and waits for what becomes of it.
    async fn remove(&self, archive: &ArchiveRecord) -> Event {
        let kind = EventKind::ArchiveRemoval {
            branch: archive.branch.clone(),
            archive: archive.id.clone(),
            reason: RemovalReason::Asked,
        };
        let submitted = self.tell(kind).await;
        assert_eq!(submitted.action, "removing");
        self.orchestrator.removal_ended(submitted.event.id).await.unwrap().unwrap()
    }

    /// What became of the removals of an archive, newest first.
    async fn removals(&self, id: &str) -> Vec<Event> {
        let events = self.orchestrator.house().store.events(&EventFilter::default()).await.unwrap();
        events.into_iter().filter(|event| event.kind.archive() == Some(id)).collect()
    }

    async fn is_removed(&self, id: &str) -> ArchiveRecord {
        eventually(&format!("{id} is removed"), || async {
            self.removals(id).await.first().is_some_and(|event| event.state == EventState::Done)
        })
        .await;
        self.archive(id).await
    }

    /// Ids of the files, and of the archives whose commits are kept.
    fn files(&self) -> (Vec<String>, Vec<String>) {
        self.world.with(|inside| {
            let files = inside.archives.keys().cloned().collect();
            (files, inside.kept_commits.keys().cloned().collect())
        })
    }
}

/// One service that is built.
fn built() -> Value {
    let mut document = document();
    document["services"]["web"].as_object_mut().unwrap().remove("image");
    document["services"]["web"]["build"] = json!({"context": "/checkout/web", "dockerfile": "Dockerfile"});
    document
}

#[tokio::test]
async fn what_is_too_old_is_removed_and_the_event_says_why() {
    in_house(|house| async move {
        let old = house.archived("feature/x", 'b', document()).await;
        house.world.with(|inside| {
            inside.now += 91 * DAY;
            inside.retention.keep = Some(Duration::from_secs(90 * 86_400));
        });
        let young = house.archived("feature/y", 'c', document()).await;
        let house = house.restart().await;
        let removed = house.is_removed(&old.id).await;
        assert_eq!(removed.removed_reason, Some(RemovalReason::Expired));
        assert_eq!(house.kept().await, std::slice::from_ref(&young.id));
        assert_eq!(
            house.files(),
            (vec![young.id.clone()], vec![young.id.clone()]),
            "the commit went with it"
        );
        let events = house.removals(&old.id).await;
        assert_eq!((events.len(), events[0].source), (1, EventSource::Timer));
        assert!(events[0].reason.as_ref().unwrap().contains("older than [archive] keep"), "{events:?}");
        assert_eq!(house.removals(&young.id).await, []);
        house.restart().await;
    })
    .await;
}

#[tokio::test]
async fn the_oldest_goes_until_the_rest_fits_and_a_pinned_one_stays() {
    in_house(|house| async move {
        let mut archives = Vec::new();
        for (number, name) in ["one", "two", "three"].iter().enumerate() {
            archives.push(
                house.archived(name, char::from(b'b' + u8::try_from(number).unwrap()), document()).await,
            );
        }
        house.pin(&archives[0].id, true).await;
        // Each of them has one byte here.
        house.world.with(|inside| inside.retention.max_bytes = Some(2));
        let house = house.restart().await;
        let removed = house.is_removed(&archives[1].id).await;
        assert_eq!(removed.removed_reason, Some(RemovalReason::OverBudget));
        assert_eq!(house.kept().await, [archives[2].id.clone(), archives[0].id.clone()]);

        house.pin(&archives[2].id, true).await;
        house.world.with(|inside| inside.retention.max_bytes = Some(1));
        let house = house.restart().await;
        house.pin(&archives[0].id, false).await;
        let house = house.restart().await;
        house.is_removed(&archives[0].id).await;
        assert_eq!(house.kept().await, std::slice::from_ref(&archives[2].id));
        assert_eq!(house.removals(&archives[2].id).await, []);
    })
    .await;
}

#[tokio::test]
async fn who_asks_gets_it_removed_unless_it_is_pinned() {
    in_house(|house| async move {
        let archive = house.archived("feature/x", 'b', document()).await;
        house.pin(&archive.id, true).await;
        let refused = house.remove(&archive).await;
        assert_eq!(refused.state, EventState::Ignored);
        assert!(refused.reason.unwrap().contains("drey archive unpin"));
        assert_eq!(house.files().0, std::slice::from_ref(&archive.id));

        house.pin(&archive.id, false).await;
        assert_eq!(house.remove(&archive).await.state, EventState::Done);
        assert_eq!(house.files(), (Vec::new(), Vec::new()));
        let removed = house.archive(&archive.id).await;
        assert_eq!(removed.removed_reason, Some(RemovalReason::Asked));
        assert_eq!(house.remove(&archive).await.state, EventState::Done, "twice is once");
        assert_eq!(house.archive(&archive.id).await, removed);
    })
    .await;
}

#[tokio::test]
async fn an_archive_stays_until_its_environment_is_over() {
    in_house(|house| async move {
        let archive = house.archived("feature/x", 'b', document()).await;
        house.begin().await;
        let live = house.environment("feature/x").await.unwrap();
        let early = ArchiveRecord { id: live.archive_id(), environment: live.id, ..archive.clone() };
        house.orchestrator.house().store.add_archive(&early).await.unwrap();
        let refused = house.remove(&early).await;
        assert_eq!(refused.state, EventState::Ignored);
        assert!(refused.reason.unwrap().contains("has not come to its end yet"));
        assert_eq!(house.remove(&archive).await.state, EventState::Done, "that of a former life may go");
    })
    .await;
}

#[tokio::test]
async fn killed_in_the_middle_of_a_removal_the_next_start_finishes_it() {
    in_house(|house| async move {
        let archive = house.archived("feature/x", 'b', document()).await;
        house.world.with(|inside| inside.archive_fails = true);
        assert_eq!(house.remove(&archive).await.state, EventState::Pending);
        assert!(house.archive(&archive.id).await.removed_at.is_some(), "nobody is sent to it any more");
        assert_eq!(house.files().0.len(), 1);
        let house = house.restart().await;
        house.world.with(|inside| inside.archive_fails = false);
        let house = house.restart().await;
        house.is_removed(&archive.id).await;
        eventually("file and commit are gone", || async { house.files() == (Vec::new(), Vec::new()) }).await;
    })
    .await;
}

#[tokio::test]
async fn files_that_belong_to_nothing_go_only_when_they_are_surely_ours() {
    in_house(|house| async move {
        let removed = house.archived("feature/x", 'b', document()).await;
        assert_eq!(house.remove(&removed).await.state, EventState::Done);
        house.begin_and_destroy("feature/y", 'c').await;
        let destroyed = house.environment("feature/y").await.unwrap().archive_id();
        let strangers = ["feature-y-999-1".to_owned(), "notes".to_owned()];
        house.world.with(|inside| {
            for id in strangers.iter().chain([&removed.id, &destroyed]) {
                inside.archives.insert(id.clone(), Value::Null);
            }
        });
        let house = house.restart().await;
        eventually("ours are gone", || async { house.files().0 == strangers }).await;
    })
    .await;
}

impl TestHouse {
    async fn begin_and_destroy(&self, name: &str, commit: char) {
        self.commit(commit, name, &['a'], document());
        self.push(name).await;
        self.reaches(name, Phase::Ready).await;
        self.tell(EventKind::EndRequested { branch: branch(name), archive: false }).await;
        self.reaches(name, Phase::Destroyed).await;
    }
}

#[tokio::test]
async fn images_go_with_the_environment_unless_there_is_a_budget_for_them() {
    in_house(|house| async move {
        house.archived("feature/x", 'b', built()).await;
        let built_images = |house: &TestHouse| {
            house.world.with(|inside| {
                let images = inside.images.iter().filter(|image| image.starts_with("drey/"));
                images.cloned().collect::<Vec<_>>()
            })
        };
        assert_eq!(built_images(&house), Vec::<String>::new());

        house.world.with(|inside| inside.retention.image_bytes = 10);
        let house = house.restart().await;
        let first = house.archived("feature/y", 'c', built()).await;
        let of_first = built_images(&house);
        assert_eq!(of_first.len(), 1, "the archive keeps it");
        let second = house.archived("feature/z", 'd', built()).await;
        let of_second = built_images(&house);
        assert_eq!(of_second.len(), 1, "there is room for the newest alone");
        assert_ne!(of_first, of_second);
        house.remove(&first).await;
        assert_eq!(built_images(&house), of_second);
        house.remove(&second).await;
        assert_eq!(built_images(&house), Vec::<String>::new());
        assert!(house.world.with(|inside| inside.commits.contains_key(&sha('d'))));
    })
    .await;
}

#[tokio::test]
async fn nothing_more_is_removed_where_the_recorded_archive_is_not_what_was_written() {
    in_house(|house| async move {
        house.begin().await;
        house.world.with(|inside| inside.archive_fails = true);
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: true }).await;
        let stuck = house.reaches("feature/x", Phase::Failed).await;
        let things = house.things_on_the_engine();
        house.world.with(|inside| inside.archive_fails = false);
        // As a try leaves it that was killed behind the row, and a disk that lost the file.
        let record = ArchiveRecord {
            id: stuck.archive_id(),
            environment: stuck.id,
            repo: stuck.repo.clone(),
            branch: stuck.branch.clone(),
            slug: stuck.slug.clone(),
            commit: stuck.commit.clone(),
            outcome: Outcome::Manual,
            created_at: stuck.updated_at,
            size_bytes: 1,
            verified_at: Some(stuck.updated_at),
            sha256: None,
            pinned: false,
            removed_at: None,
            removed_reason: None,
        };
        house.orchestrator.house().store.add_archive(&record).await.unwrap();
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: true }).await;
        eventually("it is told", || async {
            let environment = house.environment("feature/x").await.unwrap();
            environment.reason.is_some_and(|reason| reason.contains("nothing more is removed"))
        })
        .await;
        assert_eq!(house.things_on_the_engine(), things);
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn the_file_of_an_end_that_was_given_up_goes_and_one_that_is_younger_than_the_database_stays() {
    in_house(|house| async move {
        house.begin().await;
        house.world.with(|inside| inside.archive_fails = true);
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: true }).await;
        let given_up = house.reaches("feature/x", Phase::Failed).await.archive_id();
        house.world.with(|inside| inside.archive_fails = false);
        house.push("feature/x").await;
        let present = house.reaches("feature/x", Phase::Ready).await;
        assert!(house.world.with(|inside| inside.kept_commits.is_empty()), "nothing is kept for no archive");
        let younger = format!("{}-{}-{}", present.slug, present.id, present.run_generation.0 + 5);
        house.world.with(|inside| {
            inside.archives.extend([&given_up, &younger].map(|id| (id.clone(), json!({}))));
            inside.kept_commits.extend([&given_up, &younger].map(|id| (id.clone(), sha('b'))));
        });
        let house = house.restart().await;
        eventually("the leftover is removed", || async { !house.files().0.contains(&given_up) }).await;
        assert!(house.files().0.contains(&younger));
        let kept = || house.world.with(|inside| inside.kept_commits.keys().cloned().collect::<Vec<_>>());
        eventually("and its commit", || async { kept() == [younger.clone()] }).await;
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}
