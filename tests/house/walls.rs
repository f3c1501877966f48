//! Walls around environments: before anything starts, until nothing is left.

use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use drey::domain::walls::Mode;

use crate::harness::{TestHouse, branch, document, eventually, in_house, sha};

impl TestHouse {
    fn walled_in(&self) -> Vec<String> {
        self.world.with(|inside| inside.walls.branches.iter().map(ToString::to_string).collect())
    }
}

#[tokio::test]
async fn walls_stand_before_the_first_container_and_go_with_the_last_network() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let all = gate.acquire_many_owned(100).await.unwrap();
        house.push("feature/x").await;
        eventually("the walls stand", || async { !house.walled_in().is_empty() }).await;
        assert_eq!(house.world.with(|inside| inside.ups), 0, "and nothing runs yet");
        assert_eq!(house.walled_in(), ["10.213.0.0/27"]);
        drop(all);
        let environment = house.reaches("feature/x", Phase::Ready).await;
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: false }).await;
        house.reaches("feature/x", Phase::Destroyed).await;
        eventually("nothing is walled in", || async { house.walled_in().is_empty() }).await;
        assert_eq!(house.world.with(|inside| inside.groups_removed.clone()), [environment.id]);
    })
    .await;
}

#[tokio::test]
async fn a_life_that_begins_puts_up_the_walls_again() {
    in_house(|house| async move {
        house.begin().await;
        house.world.with(|inside| inside.walls = Default::default());
        let house = house.restart().await;
        assert_eq!(house.walled_in(), ["10.213.0.0/27"]);
    })
    .await;
}

#[tokio::test]
async fn where_walls_are_required_nothing_starts_without_them() {
    in_house(|house| async move {
        house.world.with(|inside| {
            inside.walls_mode = Mode::Required;
            inside.firewall_fails = Some("there is no nft".to_owned());
        });
        let house = house.restart().await;
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        house.push("feature/x").await;
        eventually("it says why", || async {
            let log = std::fs::read_dir(house.folder.path().join("environments/1/logs"));
            let texts = log.into_iter().flatten().flatten().map(|it| std::fs::read_to_string(it.path()));
            texts.flatten().any(|text| text.contains("there is no nft"))
        })
        .await;
        assert_eq!(house.world.with(|inside| inside.ups), 0);
        house.world.with(|inside| inside.firewall_fails = None);
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(ready.running_commit, Some(sha('b')));
    })
    .await;
}

#[tokio::test]
async fn where_they_are_only_wanted_it_is_told_and_goes_on() {
    in_house(|house| async move {
        house.world.with(|inside| inside.firewall_fails = Some("there is no nft".to_owned()));
        house.begin().await;
        assert!(house.walled_in().is_empty());
    })
    .await;
}
