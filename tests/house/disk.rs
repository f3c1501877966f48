//! Disks fill and empty again; what nothing needs goes.

use drey::domain::environment::{Intent, Outcome, Phase};
use drey::domain::event::{EventKind, EventState};
use drey::domain::route::Answer;
use drey::store::EventFilter;
use serde_json::json;

use crate::harness::{TestHouse, branch, document, eventually, in_house, sha};

impl TestHouse {
    /// The disk is so full from now on, and drey knows.
    async fn disk_is(&self, percent: u8) {
        self.world.with(|inside| inside.disk.0 = percent);
        self.orchestrator.measure_disks().await;
    }

    /// Waits until the branch's environment says this of itself; its phase.
    async fn tells(&self, branch: &str, words: &str) -> Phase {
        eventually(&format!("{branch} says {words:?}"), || async {
            let reason = self.environment(branch).await.and_then(|it| it.reason).unwrap_or_default();
            reason.contains(words)
        })
        .await;
        self.environment(branch).await.unwrap().phase
    }
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_what_runs_goes_on() {
    in_house(|house| async move {
        house.begin().await;
        house.disk_is(92).await;
        house.commit('c', "feature/y", &['a'], document());
        house.push("feature/y").await;
        let why = "the disk of /data is 92 % full; builds wait until it is below 88 % ([disk] stop = 90)";
        assert_eq!(house.tells("feature/y", why).await, Phase::Queued);
        house.commit('d', "feature/x", &['b'], document());
        house.push("feature/x").await;
        assert_eq!(house.tells("feature/x", "builds wait").await, Phase::Updating);
        assert!(matches!(house.answer("feature-x").await, Some(Answer::Proxy(_))), "it serves on");
        assert!(!house.folder.path().join("environments/2/checkout").exists());

        // At the border nothing goes to and fro, and the number that is told is the present one.
        house.disk_is(89).await;
        house.tells("feature/y", "is 89 % full").await;
        // An end needs no room.
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: true }).await;
        house.reaches("feature/x", Phase::Archived).await;

        house.disk_is(87).await;
        let ready = house.reaches("feature/y", Phase::Ready).await;
        assert_eq!((ready.reason, ready.running_commit), (None, Some(sha('c'))));
    })
    .await;
}

#[tokio::test]
async fn a_newer_push_takes_the_place_of_one_that_waits() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.disk_is(99).await;
        house.commit('b', "feature/x", &['a'], document());
        house.push("feature/x").await;
        house.tells("feature/x", "builds wait").await;
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        house.tells("feature/x", "builds wait").await;
        let house = house.restart().await;
        house.tells("feature/x", "builds wait").await;
        house.disk_is(10).await;
        assert_eq!(house.reaches("feature/x", Phase::Ready).await.running_commit, Some(sha('c')));
    })
    .await;
}

#[tokio::test]
async fn no_room_in_the_middle_of_the_work_is_tried_again() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        house.world.with(|inside| inside.no_room = 1);
        house.push("feature/x").await;
        let phase = house.tells("feature/x", "no room for the checkout").await;
        assert_eq!(phase, Phase::Queued);
        house.tells("feature/x", "tried again in 15 s").await;
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn what_nothing_needs_goes_and_what_is_needed_stays() {
    in_house(|house| async move {
        let built = json!({
            "name": "x",
            "services": {"web": {
                "build": {"context": "/checkout/web", "dockerfile": "Dockerfile"},
                "networks": {"default": null}, "expose": ["80"]
            }},
            "networks": {"default": {"name": "x_default", "ipam": {}}}
        });
        house.commit('a', "main", &[], built.clone());
        house.commit('b', "feature/x", &['a'], built);
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        let before = house.world.with(|inside| inside.images.clone());
        assert!(before.iter().any(|tag| tag.starts_with("drey/")), "{before:?}");
        house.world.with(|inside| inside.images.insert("drey/shop/web:leftover".into()));
        let over = house.folder.path().join("environments/1");
        house.orchestrator.collect(false).await;
        assert_eq!(house.world.with(|inside| inside.images.clone()), before);
        assert_eq!(house.world.with(|inside| inside.cache_pruned.clone()), [(7 * 86_400, 20)]);
        assert!(over.exists());

        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: false }).await;
        house.reaches("feature/x", Phase::Destroyed).await;
        std::fs::create_dir_all(over.join("logs")).unwrap();
        let strange = house.folder.path().join("environments/99");
        std::fs::create_dir_all(&strange).unwrap();
        for _ in 0..2 {
            house.orchestrator.collect(false).await;
        }
        assert!(!over.exists() && strange.exists(), "what is of no known environment is left alone");
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_cleared_and_then_the_oldest_environment_makes_room() {
    in_house(|house| async move {
        house.begin().await;
        house.commit('c', "feature/y", &['a'], document());
        house.push("feature/y").await;
        let newer = house.reaches("feature/y", Phase::Ready).await;
        house.disk_is(96).await;
        eventually("what can be made anew goes first", || async {
            house.world.with(|inside| inside.cache_pruned == [(3600, 0)])
        })
        .await;
        assert!(house.environment("feature/x").await.unwrap().serving);
        eventually("the one that nobody wanted for longest goes", || async {
            house.disk_is(96).await;
            house.environment("feature/x").await.unwrap().intent.ends()
        })
        .await;
        house.disk_is(10).await;
        let gone = house.reaches("feature/x", Phase::Archived).await;
        assert!(matches!(gone.intent, Intent::End { outcome: Outcome::Expired, archive: true }));
        let events = house.orchestrator.house().store.events(&EventFilter::default()).await.unwrap();
        let told = events.iter().find(|event| matches!(event.kind, EventKind::Expired { .. })).unwrap();
        assert_eq!(told.state, EventState::Done);
        assert!(serde_json::to_string(&told.kind).unwrap().contains("96 % full ([disk] evict)"));
        assert_eq!(house.environment("feature/y").await.unwrap(), newer);
    })
    .await;
}

#[tokio::test]
async fn whoever_fills_the_disk_is_put_to_sleep() {
    in_house(|house| async move {
        house.begin().await;
        house.commit('c', "feature/y", &['a'], document());
        house.push("feature/y").await;
        let other = house.reaches("feature/y", Phase::Ready).await;
        let filler = house.environment("feature/x").await.unwrap();
        let writes = |mib: u64, others: u64| {
            let written = [(filler.id, mib << 20), (other.id, others << 20)];
            house.world.with(|inside| inside.written = written.into());
        };
        writes(10, 5000);
        let house = house.restart().await;
        house.disk_is(50).await;
        house.orchestrator.watch_fillers().await;
        // It was quick: at one look there is room, at the next there is none.
        let written = [(filler.id, 300 << 20), (other.id, 5000 << 20)];
        house.world.with(|inside| inside.written = written.into());
        house.disk_is(92).await;
        house.orchestrator.watch_fillers().await;
        let asleep = house.reaches("feature/x", Phase::Asleep).await;
        let why = asleep.reason.unwrap_or_default();
        assert!(why.contains("it wrote 290 MB within ") && why.contains("92 % full"), "{why}");
        assert_eq!(house.environment("feature/y").await.unwrap().phase, Phase::Ready);
    })
    .await;
}
