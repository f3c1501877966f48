//! The service directory follows the engine.

use drey::domain::observed::ContainerState;
use serde_json::{Value, json};

use crate::access::Doors;
use crate::harness::{eventually, in_house};

#[tokio::test]
async fn a_death_is_in_the_directory_once_the_engine_told_of_it_and_nobody_is_asked_twice_before() {
    in_house(|house| async move {
        house.begin().await;
        let house = house.restart().await;
        let doors = Doors::open(&house).await;
        let qa = doors.token("qa").await;
        let services = || async { doors.by_tcp("GET", "/api/v1/services?repo=shop", Some(&qa)).await.1 };
        let first = services().await;
        let web = &first["items"][0];
        assert_eq!((&web["repo"], &web["branch"]), (&json!("shop"), &json!("feature/x")), "{first}");
        assert_eq!((&web["service"], &web["state"]), (&json!("web"), &json!("running")));
        assert_eq!(web["url"], "https://feature-x.qa.example");
        assert_eq!(first["next"], Value::Null);

        // The stream of events was opened before somebody asks; what it says of the beginning is over by then.
        eventually("it is remembered", || async {
            services().await;
            let before = house.world.with(|inside| inside.listings);
            services().await;
            house.world.with(|inside| inside.listings) == before
        })
        .await;

        let (_, targets) = doors.by_tcp("GET", "/api/v1/discovery/prometheus", Some(&qa)).await;
        assert_eq!(targets[0]["labels"]["__meta_drey_environment"], "shop/feature/x", "{targets}");
        assert_eq!(targets.as_array().unwrap().len(), 1);
        let (_, none) = doors.by_tcp("GET", "/api/v1/discovery/prometheus?service=db", Some(&qa)).await;
        assert_eq!(none, json!([]));

        let environment = house.environment("feature/x").await.unwrap();
        let container = web["container_id"].clone();
        house
            .world
            .harm(&environment.project, |observed| {
                observed.containers[0].state = ContainerState::Exited(137);
            })
            .await;
        eventually("it is told", || async {
            let listed = services().await;
            let of = |item: &&Value| item["container_id"] == container;
            let dead = listed["items"].as_array().unwrap().iter().find(of).cloned();
            dead.is_none_or(|dead| dead["state"] == "exited")
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn half_a_directory_is_none() {
    in_house(|house| async move {
        house.begin().await;
        let doors = Doors::open(&house).await;
        let qa = doors.token("qa").await;
        house.world.with(|inside| inside.is_away = true);
        for path in ["/api/v1/services", "/api/v1/discovery/prometheus"] {
            let (status, told) = doors.by_tcp("GET", path, Some(&qa)).await;
            assert_eq!((status, &told["error"]["code"]), (503, &json!("unavailable")), "{path}: {told}");
        }
        house.world.with(|inside| inside.is_away = false);
        let (status, _) = doors.by_tcp("GET", "/api/v1/discovery/prometheus", Some(&qa)).await;
        assert_eq!(status, 200);
        let (status, told) = doors.by_tcp("GET", "/api/v1/services?branch=%00", Some(&qa)).await;
        assert_eq!(status, 400, "{told}");
    })
    .await;
}
