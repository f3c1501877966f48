//! Who may look: what the proxy is told, and how those who may use the API get in.

use std::time::Duration;

use drey::domain::time::Timestamp;
use drey::domain::visitors::{Access, Links, Place, Use};
use serde_json::json;

use crate::access::Doors;
use crate::harness::in_house;

#[tokio::test]
async fn a_tester_gets_a_link_that_the_proxy_takes() {
    in_house(|house| async move {
        house.begin().await;
        let doors = Doors::open(&house).await;
        let qa = doors.token("qa").await;
        let accesses = || {
            let table = house.world.with(|inside| inside.table.clone());
            table.hosts.into_values().map(|route| route.access).collect::<Vec<_>>()
        };
        assert_eq!(accesses(), [Access::Open]);
        let path = "/api/v1/environments/shop/feature%2Fx/link";
        let (_, open) = doors.by_tcp("GET", path, Some(&qa)).await;
        let plain = "https://feature-x.qa.example";
        let expected = json!({"access": "open", "url": plain, "urls": {"web": plain}, "expires_at": null});
        assert_eq!(open, expected);

        let links = Links::new([7; 32], Duration::from_secs(86_400));
        house.world.with(|inside| inside.access = Access::Link(links.clone()));
        house.configure();
        let settings = house.orchestrator.house().settings();
        house.orchestrator.reload((*settings).clone(), &[]).await.unwrap();
        assert_eq!(accesses(), [Access::Link(links.clone())], "what is configured counts at once");

        let (_, given) = doors.by_tcp("GET", path, Some(&qa)).await;
        assert_eq!(given["access"], "link");
        let url = given["url"].as_str().unwrap();
        assert_eq!(given["urls"]["web"], url);
        let text = url.strip_prefix("https://feature-x.qa.example/?drey=").unwrap();
        let environment = house.environment("feature/x").await.unwrap();
        let place = Place { environment: environment.id, name: "shop/feature/x" };
        let now = house.orchestrator.house().ports.clock.now();
        let until = links.read(Use::Link, place, text, now).unwrap();
        assert_eq!(Timestamp::parse(given["expires_at"].as_str().unwrap()), Some(until));
        let (_, shown) = doors.by_tcp("GET", "/api/v1/environments/shop/feature%2Fx", Some(&qa)).await;
        assert_eq!((&shown["access"], &shown["url"]), (&json!("link"), &json!(plain)), "no link by accident");

        let gone = house.orchestrator.house().settings();
        let gone = drey::orchestrator::Settings { repositories: Default::default(), ..(*gone).clone() };
        house.orchestrator.reload(gone, &[]).await.unwrap();
        assert_eq!(accesses(), [Access::Token], "nobody says who may look any more");
    })
    .await;
}

#[tokio::test]
async fn the_proxy_knows_the_tokens_that_there_are() {
    in_house(|house| async move {
        let known = || house.world.with(|inside| inside.known.len());
        assert_eq!(known(), 0);
        let doors = Doors::open(&house).await;
        doors.token("qa").await;
        doors.token("developer").await;
        assert_eq!(known(), 2);
        let (status, _) = doors.by_socket("POST", "/api/v1/tokens/revoke", &json!({"name": "qa"})).await;
        assert_eq!((status, known()), (200, 1));
    })
    .await;
}
