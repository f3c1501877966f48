//! The service directory on the real engine.

use serde_json::Value;

use crate::harness::{World, docker};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [busybox, sh, -c, "echo hello > /index.html; exec serve 8080 /"]
    expose: [8080]
  worker:
    image: drey-demo/tiny:1
    command: [busybox, sleep, "1000"]
    labels: { drey.metrics.port: "9100", drey.metrics.path: "/stats" }
"#;

fn services(world: &World) -> Vec<Value> {
    let list = world.drey(&["services", "--json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    list["items"].as_array().unwrap().clone()
}

#[test]
fn a_container_that_dies_is_dead_in_the_directory() {
    let world = World::new("services", &[("compose.yaml", COMPOSE)]);
    world.push("services/one", &[("one.txt", "one")]);
    world.reaches("services/one", "ready");
    let both = services(&world);
    let names: Vec<&str> = both.iter().filter_map(|it| it["service"].as_str()).collect();
    assert_eq!(names, ["web", "worker"], "{both:?}");
    let web = &both[0];
    assert_eq!(web["state"], "running");
    assert_eq!(web["ports"][0]["port"], 8080);
    assert!(web["since"].is_string() && web["url"].is_string(), "{web}");
    let address = web["addresses"].as_object().unwrap().values().next().unwrap().as_str().unwrap();
    assert_eq!(web["metrics"]["address"], format!("{address}:8080"));
    assert_eq!(both[1]["metrics"]["path"], "/stats", "{}", both[1]);

    let container = both[1]["container"].as_str().unwrap().to_owned();
    docker(&["kill", &container]);
    let state = || {
        let worker = services(&world).into_iter().find(|it| it["container"] == container.as_str());
        worker.map(|it| it["state"].clone())
    };
    world.eventually("its death is told", 3, || state() == Some("exited".into()));

    let table = world.drey(&["services", "--service", "worker"]).unwrap();
    assert!(table.contains("world/services/one") && !table.contains(" web "), "{table}");
    world.drey(&["env", "destroy", "world/services/one"]).unwrap();
    world.eventually("nothing of it is left", 60, || services(&world).is_empty());
}
