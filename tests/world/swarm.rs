//! Services of a Swarm, on an engine of the test's own that is its only node.

use std::collections::BTreeSet;

use super::engine::Engine;
use super::harness::{DOMAIN, World, docker};

/// Says which container it is.
const SERVES: &str = "mkdir -p /srv; hostname >/srv/index.html; exec httpd -f -p 8080 -h /srv";

fn create(name: &str, more: &[&str]) {
    let start = ["service", "create", "-q", "--no-resolve-image", "--endpoint-mode", "dnsrr", "--name", name];
    docker(&[&start[..], more, &["drey-demo/tiny:1", "sh", "-c", SERVES]].concat());
}

#[test]
fn services_of_a_swarm_are_routed_to_each_of_their_containers() {
    let name = "swarm::services_of_a_swarm_are_routed_to_each_of_their_containers";
    let Some(_engine) = Engine::of(name) else { return };
    docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
    for network in ["apps", "more"] {
        docker(&["network", "create", "-d", "overlay", network]);
    }
    let more = "[discovery]\nenabled = true\npoll_interval = \"1h\"\n";
    let mut world = World::configured("swarm", &[("x", "1")], more);
    let host = |slug: &str| format!("drey.host={slug}.{DOMAIN}");
    // On two overlay networks, which the host is no part of.
    let networks = ["--network", "apps", "--network", "more", "--replicas", "2"];
    create("site", &[&networks[..], &["--label", &host("site"), "--label", "drey.port=8080"]].concat());
    create(
        "published",
        &["--label", &host("published"), "--publish", "mode=host,target=8080,published=9091"],
    );
    let heard = |slug: &str| -> BTreeSet<String> {
        (0..8)
            .filter_map(|_| world.get(slug))
            .filter(|(status, _)| *status == 200)
            .map(|(_, body)| body)
            .collect()
    };
    world.eventually("both containers answer", 60, || heard("site").len() == 2);
    world.eventually("the port that it publishes is known", 60, || heard("published").len() == 1);
    // What changes at the service alone is heard of, and its containers stay.
    let before = heard("site");
    docker(&["service", "update", "-q", "-d", "--label-add", &host("renamed"), "site"]);
    world.eventually("the new name leads there", 20, || heard("renamed") == before);
    world
        .eventually("the old one nowhere", 20, || world.get("site").is_some_and(|(status, _)| status == 404));
    docker(&["service", "scale", "-d", "site=1"]);
    world.eventually("one of them answers alone", 60, || heard("renamed").len() == 1);
    docker(&["service", "rm", "site"]);
    world.eventually("it is gone", 60, || world.get("renamed").is_some_and(|(status, _)| status == 404));
    world.end_all();
}
