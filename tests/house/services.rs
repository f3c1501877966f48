//! The service directory follows the engine.

use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use drey::domain::observed::ContainerState;
use serde_json::{Value, json};

use crate::access::Doors;
use crate::harness::{branch, eventually, in_house};

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

#[tokio::test]
async fn traefik_is_told_where_what_is_ready_is_and_leads_all_else_to_the_gate() {
    in_house(|house| async move {
        house.begin().await;
        let doors = Doors::open(&house).await;
        let qa = doors.token("qa").await;
        let (status, told) = doors.by_tcp("GET", "/api/v1/providers/traefik", None).await;
        assert_eq!(status, 401, "{told}");
        let told =
            || async { doors.by_tcp("GET", "/api/v1/providers/traefik", Some(&qa)).await.1["http"].clone() };
        let to = |http: &Value| http["routers"]["drey_feature-x_qa_example"]["service"].clone();
        let first = told().await;
        assert_eq!(to(&first), "drey_feature-x_qa_example", "{first}");
        let server = &first["services"]["drey_feature-x_qa_example"]["loadBalancer"]["servers"][0]["url"];
        assert!(server.as_str().unwrap().starts_with("http://127.0.0.1:"), "{first}");
        house
            .tell(EventKind::SleepRequested {
                branch: branch("feature/x"),
                why: "asked".into(),
                gives_way: false,
            })
            .await;
        house.reaches("feature/x", Phase::Asleep).await;
        let asleep = told().await;
        assert_eq!(to(&asleep), "drey_gate", "{asleep}");
        assert_eq!(
            asleep["services"]["drey_gate"]["loadBalancer"]["servers"][0]["url"],
            "http://127.0.0.1:8480"
        );
    })
    .await;
}
