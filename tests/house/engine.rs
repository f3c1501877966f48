//! What happens on the engine behind drey's back.

use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use drey::domain::observed::{ContainerState, Observed};
use drey::domain::orphans::{Claim, Kind};

use crate::harness::{branch, eventually, in_house};

fn end_with(code: i64) -> impl FnOnce(&mut Observed) {
    move |observed| {
        for container in &mut observed.containers {
            container.state = ContainerState::Exited(code);
        }
    }
}

#[tokio::test]
async fn what_is_killed_and_what_is_removed_is_put_right_and_lost_data_is_told() {
    in_house(|house| async move {
        house.begin().await;
        // What ends in the first seconds is a start that failed; another life does not watch over that.
        let house = house.restart().await;
        let environment = house.environment("feature/x").await.unwrap();
        house.world.harm(&environment.project, end_with(137)).await;
        let is_at = |generation: i64| {
            let house = &house;
            async move {
                let it = house.environment("feature/x").await.unwrap();
                it.generation.0 == generation && it.phase == Phase::Ready && !it.has_work()
            }
        };
        eventually("it is repaired", || is_at(2)).await;
        let repaired = house.environment("feature/x").await.unwrap();
        assert_eq!((repaired.reason, repaired.serving), (None, true));
        let store = &house.orchestrator.house().store;
        let plan = store.deployments(environment.id).await.unwrap()[0].plan.clone();
        assert!(plan.contains("up: web does not run"), "{plan}");

        // The second within a short time waits 15 s: another life knows nothing of the first.
        let house = house.restart().await;
        house.world.harm(&environment.project, |observed| *observed = Observed::default()).await;
        eventually("it is repaired again", || async {
            house
                .environment("feature/x")
                .await
                .unwrap()
                .reason
                .is_some_and(|reason| reason.contains("data lost"))
        })
        .await;
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(house.things_on_the_engine(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_repair_that_fails_leaves_it_ready_and_says_why() {
    in_house(|house| async move {
        house.begin().await;
        let house = house.restart().await;
        let environment = house.environment("feature/x").await.unwrap();
        house.world.with(|inside| inside.up_fails = Some("no such thing".into()));
        house.world.harm(&environment.project, end_with(1)).await;
        eventually("it is told", || async {
            let it = house.environment("feature/x").await.unwrap();
            it.reason.is_some_and(|reason| reason.starts_with("degraded: ")) && it.phase == Phase::Ready
        })
        .await;
        let told = house.environment("feature/x").await.unwrap();
        assert!(told.serving && told.reason.unwrap().contains("no such thing"));
        assert_eq!(told.generation.0, 2, "no storm of generations");
        house.world.with(|inside| inside.up_fails = None);
    })
    .await;
}

#[tokio::test]
async fn what_sleeps_is_not_repaired() {
    in_house(|house| async move {
        house.begin().await;
        let environment = house.environment("feature/x").await.unwrap();
        house
            .tell(EventKind::SleepRequested {
                branch: branch("feature/x"),
                why: "asked".into(),
                gives_way: false,
            })
            .await;
        house.reaches("feature/x", Phase::Asleep).await;
        house.world.harm(&environment.project, |observed| observed.containers.clear()).await;
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        let asleep = house.environment("feature/x").await.unwrap();
        assert_eq!((asleep.phase, asleep.generation.0), (Phase::Asleep, 2));
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_is_away_is_known_to_be_and_its_return_too() {
    in_house(|house| async move {
        house.begin().await;
        let shared = house.orchestrator.house().clone();
        assert_eq!(shared.engine_away(), None);
        house.world.with(|inside| inside.is_away = true);
        let house = house.restart().await;
        let shared = house.orchestrator.house().clone();
        eventually("it is known", || async { shared.engine_away().is_some() }).await;
        let environment = house.environment("feature/x").await.unwrap();
        house.world.with(|inside| {
            inside.is_away = false;
            end_with(137)(inside.projects.get_mut(&environment.project).unwrap());
        });
        tokio::time::timeout(std::time::Duration::from_secs(10), shared.engine_back()).await.unwrap();
        eventually("all was looked at, and repaired", || async {
            let it = house.environment("feature/x").await.unwrap();
            it.generation.0 == 2 && !it.has_work() && it.phase == Phase::Ready
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn orphans_that_are_surely_ours_go_and_others_are_told() {
    in_house(|house| async move {
        house.begin().await;
        let live = house.environment("feature/x").await.unwrap();
        let instance = house.orchestrator.house().store.instance().to_string();
        let claim = |kind, name: &str, label: &str| Claim {
            kind,
            id: name.to_owned(),
            name: name.to_owned(),
            instance: Some(label.to_owned()),
            is_carrier: false,
        };
        let orphan = format!("drey-{instance}-99-gone_default");
        let volume = format!("drey-{instance}-99-gone_data");
        let lives = house.world.with(|inside| {
            let observed = inside.projects.get_mut(&live.project).unwrap();
            // As good as any place for things that nobody asks for.
            observed.networks.push(drey::domain::observed::Network {
                name: orphan.clone(),
                id: orphan.clone(),
                definition: None,
            });
            observed.volumes.push(drey::domain::observed::Volume { name: volume.clone(), definition: None });
            let name = observed.networks[0].name.clone();
            inside.claims = vec![
                claim(Kind::Network, &orphan, &instance),
                claim(Kind::Network, &name, &instance),
                claim(Kind::Volume, &volume, &instance),
                claim(Kind::Volume, "drey-zzz999-1-x_data", "zzz999"),
            ];
            name
        });
        let told = house.orchestrator.clear_orphans().await.unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().any(|line| line.contains(&volume)), "{told:?}");
        let there = house.world.with(|inside| inside.projects[&live.project].clone());
        assert!(there.networks.iter().all(|network| network.name == lives));
        assert_eq!(there.volumes.len(), 2);
    })
    .await;
}
