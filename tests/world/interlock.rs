//! Files and containers that were written for Interlock, on the real engine.

use serde_json::Value;

use super::harness::{World, docker};

const COMPOSE: &str = include_str!("../fixtures/interlock/compose.yaml");
const SITE: &str = include_str!("../fixtures/interlock/site/index.html");
const API: &str = include_str!("../fixtures/interlock/api/index.html");
const ADMIN: &str = include_str!("../fixtures/interlock/admin/index.html");

#[test]
fn a_compose_file_for_interlock_is_routed_unchanged() {
    let compose = COMPOSE.replace("${IMAGE:-busybox}", "drey-demo/tiny:1");
    let files = [
        ("compose.yaml", compose.as_str()),
        ("site/index.html", SITE),
        ("api/index.html", API),
        ("admin/index.html", ADMIN),
    ];
    let mut world = World::new("interlock", &files);
    world.push("feature/shop", &[("site/x", "1")]);
    let environment = world.reaches("feature/shop", "ready");
    for (slug, path, page) in [
        ("feature-shop", "/", SITE),
        ("feature-shop--www", "/", SITE),
        ("feature-shop--shop-org", "/", SITE),
        ("feature-shop", "/api", API),
        ("feature-shop", "/api/index.html?x", API),
        ("feature-shop--admin", "/", ADMIN),
    ] {
        let is_served = || world.get_at(slug, path) == Some((200, page.to_owned()));
        world.eventually(&format!("{slug}{path} serves {page:?}"), 20, is_served);
    }
    assert!(environment["urls"]["api"].as_str().unwrap().ends_with("/api"), "{environment}");
    // A path stays with its service when that is started anew.
    docker(&["restart", "-t", "0", world.container("feature/shop", "api").trim()]);
    world.eventually("the path is back", 60, || {
        world.get_at("feature-shop", "/api") == Some((200, API.to_owned()))
    });
    world.end_all();
}

/// A container of somebody else's; gone with the test.
struct Theirs(String);

impl Theirs {
    fn run(name: &str, more: &[&str]) -> Self {
        let name = format!("world-{name}-{}", std::process::id());
        let command = [
            "drey-demo/tiny:1",
            "sh",
            "-c",
            "httpd -p 8080 -h /srv; mkdir /other; echo other >/other/index.html; exec httpd -f -p 9090 -h /other",
        ];
        let own = format!("mkdir -p /srv; echo {name} >/srv/index.html; {}", command[3]);
        let start = ["run", "-d", "--name", &name];
        docker(&[&start[..], more, &command[..3], &[own.as_str()]].concat());
        Self(name)
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.0]);
    }
}

#[test]
fn containers_that_drey_did_not_start_are_routed_as_long_as_they_run() {
    let host = format!("theirs-{}", std::process::id());
    let mut world = World::configured(
        "discovery",
        &[("x", "1")],
        "[discovery]\nenabled = true\npoll_interval = \"1h\"\n",
    );
    let (own, route) = (format!("drey.host={host}"), format!("drey.route.1={host}/other 9090 strip"));
    let theirs = Theirs::run("labelled", &["--label", &own, "--label", "drey.port=8080", "--label", &route]);
    world.serves(&host, &theirs.0);
    assert_eq!(world.get_at(&host, "/other"), Some((200, "other\n".to_owned())));
    // Interlock's own words; its domain is not one of ours.
    let name = format!("interlock.hostname={host}-2");
    let domain = format!("interlock.domain={}", super::harness::DOMAIN);
    let second =
        Theirs::run("interlock", &["--label", &name, "--label", &domain, "--label", "interlock.port=8080"]);
    world.serves(&format!("{host}-2"), &second.0);
    let bad =
        Theirs::run("bad", &["--label", "interlock.hostname=x", "--label", "interlock.domain=evil.example"]);
    let faults = || {
        let state = world.drey(&["discovery", "status", "--json"]).unwrap_or_default();
        let state: Value = serde_json::from_str(&state).unwrap_or_default();
        state["faults"].to_string()
    };
    world.eventually("the fault is told", 20, || faults().contains(&bad.0));
    docker(&["stop", "-t", "0", &second.0]);
    world.eventually("it is gone", 20, || {
        world.get(&format!("{host}-2")).is_some_and(|(status, _)| status == 404)
    });
    world.serves(&host, &theirs.0);
    world.end_all();
}
