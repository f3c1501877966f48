//! Sleep, waking, places, expiry, and what is tried again.

use std::time::Duration;

use drey::domain::environment::{DeploymentState, Environment, Intent, Phase};
use drey::domain::event::{EventKind, EventSource, NewEvent};
use drey::domain::observed::ContainerState;
use drey::domain::places::{self, WhenFull};
use drey::domain::rest::{self, SleepMode};

use drey::domain::route::{Answer, Page};

use crate::harness::{TestHouse, branch, document, eventually, in_house, repo};

const MINUTE: i64 = 60_000;

impl TestHouse {
    async fn ask(&self, kind: EventKind) -> drey::orchestrator::Submitted {
        let event = NewEvent { source: EventSource::Cli, repo: repo(), kind, delivery_id: None, skip: false };
        self.orchestrator.submit(None, &[event]).await.unwrap().remove(0)
    }

    /// How many of the branch's containers run.
    async fn running(&self, name: &str) -> usize {
        let project = self.environment(name).await.unwrap().project;
        self.world.with(|inside| {
            let containers = &inside.projects[&project].containers;
            containers.iter().filter(|container| container.state == ContainerState::Running).count()
        })
    }

    async fn says(&self, name: &str, words: &str) -> Environment {
        eventually(&format!("{name} says {words:?}"), || async {
            let reason = self.environment(name).await.and_then(|it| it.reason);
            reason.is_some_and(|reason| reason.contains(words))
        })
        .await;
        self.environment(name).await.unwrap()
    }

    fn later(&self, millis: i64) {
        self.world.with(|inside| inside.now += millis);
    }

    /// The same with these rules, from the beginning on.
    async fn ruled(self, change: impl FnOnce(&mut crate::fakes::Inside)) -> Self {
        self.world.with(change);
        self.restart().await
    }
}

fn rules(sleep: u64, expire: u64) -> rest::Rules {
    rest::Rules {
        sleep_after: Some(Duration::from_secs(sleep)),
        expire_after: Some(Duration::from_secs(expire)),
        sleep: SleepMode::Stop,
    }
}

impl TestHouse {
    /// Puts it to sleep and waits until it does.
    async fn lull(&self, name: &str) -> Environment {
        self.ask(EventKind::SleepRequested {
            branch: branch(name),
            why: "quiet".to_owned(),
            gives_way: false,
        })
        .await;
        self.reaches(name, Phase::Asleep).await
    }

    fn page_of(&self, host: &str) -> Option<Page> {
        let answer = self.world.with(|inside| inside.table.hosts.get(host).map(|route| route.answer.clone()));
        match answer? {
            Answer::Page(page) => Some(page),
            Answer::Proxy(_) | Answer::Replacing(_) => None,
        }
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_brought_up_by_compose() {
    in_house(|house| async move {
        house.begin().await;
        let ups = house.world.with(|inside| inside.ups);
        let asleep = house.lull("feature/x").await;
        house.world.with(|inside| inside.start_fails = Some("a network of it is gone".to_owned()));
        house.orchestrator.knock(asleep.id).await.unwrap();
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(house.world.with(|inside| inside.ups), ups + 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_only_frozen_goes_on_where_it_was() {
    in_house(|house| async move {
        let house = house.ruled(|inside| inside.rest.sleep = SleepMode::Pause).await;
        house.begin().await;
        let states = |project| {
            house.world.with(|inside| {
                inside.projects[project].containers.iter().map(|it| it.state).collect::<Vec<_>>()
            })
        };
        let asleep = house.lull("feature/x").await;
        assert!(states(&asleep.project).iter().all(|state| *state == ContainerState::Paused));
        assert_eq!(house.world.with(|inside| inside.cuts), 1, "what was open does not hang");
        let before = house.world.with(|inside| (inside.ups, inside.starts));
        house.orchestrator.knock(asleep.id).await.unwrap();
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(
            house.world.with(|inside| (inside.ups, inside.starts)),
            before,
            "neither started nor brought up"
        );
        // A push finds what is frozen, too.
        house.lull("feature/x").await;
        house.push("feature/x").await;
        house
            .ask(EventKind::DeployRequested { branch: branch("feature/x"), rebuild: false, pull: false })
            .await;
        let awake = house.reaches("feature/x", Phase::Ready).await;
        assert!(states(&awake.project).iter().all(|state| *state == ContainerState::Running));
    })
    .await;
}

#[tokio::test]
async fn who_came_just_before_it_lay_down_keeps_it_awake_unless_a_person_wants_it_to_sleep() {
    in_house(|house| async move {
        house.begin().await;
        house.world.with(|inside| inside.presence.tunnels = 1);
        let sleep = |gives_way| EventKind::SleepRequested {
            branch: branch("feature/x"),
            why: "quiet".to_owned(),
            gives_way,
        };
        house.ask(sleep(true)).await;
        eventually("the wish is taken back", || async {
            house.environment("feature/x").await.is_some_and(|it| it.generation.0 == 2 && !it.has_work())
        })
        .await;
        let awake = house.environment("feature/x").await.unwrap();
        assert_eq!((awake.phase, awake.serving), (Phase::Ready, true));
        // The row says so before the route does.
        eventually("it is routed again", || async {
            matches!(house.answer("feature-x").await, Some(Answer::Proxy(_)))
        })
        .await;
        assert_eq!(house.running("feature/x").await, 1);
        house.ask(sleep(false)).await;
        house.reaches("feature/x", Phase::Asleep).await;
        assert_eq!(house.world.with(|inside| inside.presence.tunnels), 0, "they were told");
    })
    .await;
}

/// A document that the policy does not let in.
fn refused() -> serde_json::Value {
    let mut refused = document();
    refused["services"]["web"]["privileged"] = serde_json::json!(true);
    refused
}

#[tokio::test]
async fn what_failed_sleeps_too_and_wakes_with_the_version_from_before() {
    in_house(|house| async move {
        let house = house.ruled(|inside| inside.rest = rules(600, 60_000)).await;
        house.begin().await;
        house.commit('c', "feature/x", &['b'], refused());
        house.push("feature/x").await;
        assert!(house.reaches("feature/x", Phase::Blocked).await.serving);
        house.later(11 * MINUTE);
        let asleep = house.reaches("feature/x", Phase::Asleep).await;
        house.orchestrator.knock(asleep.id).await.unwrap();
        let awake = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(
            (awake.running_commit, awake.commit),
            (Some(crate::harness::sha('b')), Some(crate::harness::sha('c')))
        );
        assert!(awake.reason.as_ref().is_some_and(|it| it.contains("failed, and")), "{:?}", awake.reason);
        assert_eq!(house.running("feature/x").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_sleeper_whose_push_failed_takes_nobodys_place() {
    in_house(|house| async move {
        let house = house.ruled(|inside| inside.places.total = Some(1)).await;
        house.begin().await;
        house.lull("feature/x").await;
        house.commit('c', "feature/x", &['b'], refused());
        house.push("feature/x").await;
        assert!(!house.reaches("feature/x", Phase::Blocked).await.serving);
        house.commit('d', "feature/y", &['a'], document());
        house.push("feature/y").await;
        house.reaches("feature/y", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn visits_wake_only_so_often_within_an_hour() {
    in_house(|house| async move {
        let house = house.ruled(|inside| inside.wakes_per_hour = Some(2)).await;
        house.begin().await;
        for _ in 0..2 {
            let asleep = house.lull("feature/x").await;
            house.orchestrator.knock(asleep.id).await.unwrap();
            house.reaches("feature/x", Phase::Ready).await;
        }
        let asleep = house.lull("feature/x").await;
        house.orchestrator.knock(asleep.id).await.unwrap();
        let tired = house.says("feature/x", "limits.wakes_per_hour").await;
        assert_eq!(tired.phase, Phase::Asleep);
        let host = format!("{}.qa.example", tired.slug);
        eventually("its page says so", || async { house.page_of(&host).is_some_and(|page| page.is_tired) })
            .await;
        house.later(61 * MINUTE);
        eventually("it may be woken again", || async {
            house.page_of(&host).is_some_and(|page| page.wakes())
        })
        .await;
        house.orchestrator.knock(asleep.id).await.unwrap();
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn what_sleeps_is_woken_by_a_visit_as_it_was() {
    in_house(|house| async move {
        house.begin().await;
        let ups = house.world.with(|inside| inside.ups);
        house
            .ask(EventKind::SleepRequested {
                branch: branch("feature/x"),
                why: "quiet".to_owned(),
                gives_way: false,
            })
            .await;
        let asleep = house.reaches("feature/x", Phase::Asleep).await;
        assert_eq!((asleep.serving, asleep.reason.as_deref()), (false, Some("quiet")));
        assert_eq!(house.running("feature/x").await, 0);
        // A doubled push wakes nobody.
        house.push("feature/x").await;
        assert_eq!(house.environment("feature/x").await.unwrap().phase, Phase::Asleep);

        house.orchestrator.knock(asleep.id).await.unwrap();
        house.orchestrator.knock(asleep.id).await.unwrap();
        let awake = house.reaches("feature/x", Phase::Ready).await;
        assert!(awake.serving && awake.reason.is_none());
        assert_eq!((awake.generation.0, awake.run_generation.0), (3, 1), "woken once, and not deployed");
        let (ups_then, starts) = house.world.with(|inside| (inside.ups, inside.starts));
        assert_eq!((ups_then, starts), (ups, 1), "compose was not asked");
        assert_eq!(house.running("feature/x").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_push_while_it_sleeps_deploys_and_a_merge_ends_it() {
    in_house(|house| async move {
        house.begin().await;
        house
            .ask(EventKind::SleepRequested {
                branch: branch("feature/x"),
                why: "quiet".to_owned(),
                gives_way: false,
            })
            .await;
        house.reaches("feature/x", Phase::Asleep).await;
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(ready.commit, ready.running_commit);
        house
            .ask(EventKind::SleepRequested {
                branch: branch("feature/x"),
                why: "quiet".to_owned(),
                gives_way: false,
            })
            .await;
        house.reaches("feature/x", Phase::Asleep).await;
        house.commit('d', "main", &['a', 'c'], document());
        house.push_main('a').await;
        house.reaches("feature/x", Phase::Archived).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_came_for_long_so_it_sleeps_and_then_it_goes() {
    in_house(|house| async move {
        let house = house.ruled(|inside| inside.rest = rules(600, 6000)).await;
        house.begin().await;
        house.later(11 * MINUTE);
        let asleep = house.reaches("feature/x", Phase::Asleep).await;
        assert!(asleep.reason.unwrap().contains("nobody visited it for 10m (`sleep_after`)"));
        house.ask(EventKind::WakeRequested { branch: branch("feature/x") }).await;
        house.reaches("feature/x", Phase::Ready).await;
        house.later(101 * MINUTE);
        let gone = house.reaches("feature/x", Phase::Archived).await;
        assert!(matches!(gone.intent, Intent::End { outcome, archive: true } if outcome.word() == "expired"));
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_jumps_ends_nothing() {
    in_house(|house| async move {
        let house = house.ruled(|inside| inside.rest = rules(600, 6000)).await;
        house.begin().await;
        // The timers have seen both clocks at least once.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        house.world.with(|inside| {
            inside.now += 365 * 24 * 60 * MINUTE;
            inside.stepped += 365 * 24 * 60 * MINUTE;
        });
        tokio::time::sleep(Duration::from_millis(6500)).await;
        assert_eq!(house.environment("feature/x").await.unwrap().phase, Phase::Ready);
    })
    .await;
}

#[tokio::test]
async fn who_finds_no_place_waits_and_says_so_until_one_is_free() {
    in_house(|house| async move {
        let house = house.ruled(|inside| inside.places.total = Some(1)).await;
        house.begin().await;
        house.commit('c', "feature/y", &['a'], document());
        house.push("feature/y").await;
        let waiting = house.says("feature/y", "waiting for a place: 1 of 1 environments are awake").await;
        assert_eq!((waiting.phase, waiting.has_work()), (Phase::Queued, true));
        // It still waits after a restart, and what runs has kept its place.
        let house = house.restart().await;
        house.says("feature/y", "waiting for a place").await;
        house
            .ask(EventKind::SleepRequested {
                branch: branch("feature/x"),
                why: "quiet".to_owned(),
                gives_way: false,
            })
            .await;
        house.reaches("feature/y", Phase::Ready).await;
        let asleep = house.reaches("feature/x", Phase::Asleep).await;
        // Now the other one finds no place, and gives it up by its end.
        house.orchestrator.knock(asleep.id).await.unwrap();
        house.says("feature/x", "waiting for a place").await;
        house.ask(EventKind::EndRequested { branch: branch("feature/x"), archive: false }).await;
        house.reaches("feature/x", Phase::Destroyed).await;
    })
    .await;
}

#[tokio::test]
async fn the_least_recently_visited_makes_room_unless_it_is_pinned() {
    for (when_full, phase) in
        [(WhenFull::SleepOldest, Phase::Asleep), (WhenFull::ArchiveOldest, Phase::Archived)]
    {
        in_house(|house| async move {
            let house = house
                .ruled(|inside| {
                    inside.places = places::Rules { total: Some(2), when_full, ..Default::default() };
                })
                .await;
            house.begin().await;
            let pinned = house.environment("feature/x").await.unwrap();
            let store = &house.orchestrator.house().store;
            store.set_pinned(pinned.id, true, pinned.updated_at).await.unwrap();
            house.later(MINUTE);
            house.commit('c', "feature/y", &['a'], document());
            house.push("feature/y").await;
            house.reaches("feature/y", Phase::Ready).await;
            house.later(2 * MINUTE);
            house.commit('d', "feature/z", &['a'], document());
            house.push("feature/z").await;
            house.reaches("feature/z", Phase::Ready).await;
            house.reaches("feature/y", phase).await;
            assert_eq!(house.environment("feature/x").await.unwrap().phase, Phase::Ready);
        })
        .await;
    }
}

#[tokio::test]
async fn an_engine_that_is_away_is_waited_for() {
    in_house(|house| async move {
        house.begin().await;
        house.world.with(|inside| inside.is_away = true);
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        let waiting = house.says("feature/x", "the engine does not answer").await;
        assert!(waiting.has_work() && waiting.phase == Phase::Updating, "{waiting:?}");
        let store = &house.orchestrator.house().store;
        assert_eq!(store.deployments(waiting.id).await.unwrap()[0].state, DeploymentState::Deferred);
        house.world.with(|inside| inside.is_away = false);
        // A newer wish need not wait for the pause.
        house
            .ask(EventKind::DeployRequested { branch: branch("feature/x"), rebuild: false, pull: false })
            .await;
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(ready.running_commit, ready.commit);
    })
    .await;
}
