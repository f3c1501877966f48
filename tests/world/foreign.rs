//! A container of somebody else through the real engine: its words are what the decisions rest on.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use drey::adapters::docker::{DockerEngine, DockerForeign, DockerSettings};
use drey::adapters::routes::{Container, ContainerSettings, Networks};
use drey::domain::joining::Way;
use drey::domain::names::InstanceId;
use drey::ports::{Foreign, Rested};

use crate::harness::docker;

const INSTANCE: &str = "fgn7t3";
const NAME: &str = "world-foreign";
/// Ends by SIGHUP, in a way of its own.
const WAITS: &str = "trap 'exit 7' HUP; while :; do busybox sleep 0.1; done";

/// What the test makes, gone with it.
struct Things;

impl Things {
    fn new() -> Self {
        let things = Self;
        things.clear();
        things
    }

    fn clear(&self) {
        let run = |arguments: &[&str]| {
            std::process::Command::new("docker").args(arguments).output().unwrap();
        };
        run(&["rm", "-f", NAME, "world-foreign-other"]);
        run(&["network", "rm", NAME, &network("full"), &network("wide"), &network("gone")]);
    }
}

impl Drop for Things {
    fn drop(&mut self) {
        self.clear();
    }
}

fn network(end: &str) -> String {
    format!("drey-{INSTANCE}-1-{end}_default")
}

fn make(end: &str, subnet: &str) {
    let label = format!("drey.instance={INSTANCE}");
    docker(&["network", "create", "--label", &label, "--subnet", subnet, &network(end)]);
}

fn settings() -> ContainerSettings {
    ContainerSettings {
        name: NAME.to_owned(),
        program: "busybox".to_owned(),
        directory: "/tmp".into(),
        is_on_host: false,
        gate: SocketAddr::from(([172, 30, 0, 1], 8421)),
        section: "proxy.nginx".to_owned(),
        prefix: format!("drey-{INSTANCE}-"),
    }
}

#[tokio::test]
async fn a_container_of_somebody_is_put_on_networks_and_taken_off_and_spoken_to() {
    let _things = Things::new();
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let engine = Arc::new(DockerEngine::new(DockerSettings { host, reach: None, registries: Vec::new() }));
    let foreign = Arc::new(DockerForeign::new(engine, InstanceId(INSTANCE.to_owned())));
    assert_eq!(foreign.container(NAME).await.unwrap(), None);
    docker(&["network", "create", NAME]);
    let run = ["run", "-d", "--name", NAME, "--network", NAME, "--sysctl", "net.ipv4.ip_forward=0"];
    docker(&[&run[..], &["-v", "/tmp:/tmp", "drey-demo/tiny:1", "sh", "-c", WAITS]].concat());
    make("wide", "10.230.77.0/29");
    make("full", "10.230.77.8/30");
    let service = "com.docker.compose.service=shop";
    let other = ["run", "-d", "--name", "world-foreign-other", "--label", service, "--network"];
    docker(&[&other[..], &[&network("full"), "drey-demo/tiny:1", "busybox", "sleep", "300"]].concat());

    let (code, text) = foreign
        .execute(NAME, ["sh", "-c", "echo out; echo err >&2; exit 3"].map(str::to_owned).to_vec())
        .await
        .unwrap();
    assert!(code == 3 && text.contains("out") && text.contains("err"), "{code}: {text}");
    assert_eq!(foreign.services_on(&network("full")).await.unwrap(), ["shop"]);

    // Twice is once; and none of them is its way out.
    let route = || docker(&["exec", NAME, "busybox", "route", "-n"]);
    let before = route().lines().find(|line| line.starts_with("0.0.0.0")).unwrap().to_owned();
    let found = foreign.container(NAME).await.unwrap().unwrap();
    assert_eq!((found.rested, found.networks.len()), (None, 1));
    for _ in 0..2 {
        foreign.connect(&network("wide"), NAME).await.unwrap();
    }
    assert!(route().contains("10.230.77.0") && route().contains(&before), "{}", route());
    for _ in 0..2 {
        foreign.disconnect(&network("wide"), NAME).await.unwrap();
    }
    assert!(!route().contains("10.230.77.0"));

    // Of two that are needed one has no address left.
    let container = Container::new(foreign.clone(), settings());
    let needed: BTreeSet<_> = ["10.230.77.3", "10.230.77.10"].map(|it| it.parse().unwrap()).into();
    let reach = container.join(&needed).await.unwrap();
    assert_eq!(reach.way("10.230.77.3".parse().unwrap()), Way::Open);
    let refused = format!("{:?}", reach.way("10.230.77.10".parse().unwrap()));
    assert!(refused.contains("has no address left"), "{refused}");
    assert_eq!(container.container().joined, [network("wide")]);

    // On a network that is gone it could not be started; of that one only the name is left.
    make("gone", "10.230.77.16/29");
    foreign.connect(&network("gone"), NAME).await.unwrap();
    foreign.signal(NAME, "SIGHUP").await.unwrap();
    assert_eq!(docker(&["wait", NAME]).trim(), "7");
    let found = foreign.container(NAME).await.unwrap().unwrap();
    assert_eq!(found.rested, Some(Rested::Stopped(7)));
    docker(&["network", "rm", &network("gone")]);
    container.join(&needed).await.unwrap_err();
    container.leave(&BTreeSet::new()).await;
    docker(&["start", NAME]);
    let found = foreign.container(NAME).await.unwrap().unwrap();
    assert_eq!(found.networks.into_keys().collect::<Vec<_>>(), [NAME]);
}
