use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::json;

use super::*;
use crate::domain::observed::{Health, Network, Volume};
use crate::domain::stack::{ReadinessSpec, VolumeSpec};

pub(crate) fn stack() -> Stack {
    let service = |may_complete, needs: &[&str]| Service {
        image: "x".into(),
        replicas: 1,
        has_health_check: false,
        may_complete,
        depends_on: needs
            .iter()
            .map(|name| ((*name).to_owned(), Condition::ServiceCompletedSuccessfully))
            .collect(),
    };
    Stack {
        document: json!({"services": {
            "web": {"networks": {"default": null}}, "seed": {"networks": {"default": null}},
            "once": {"networks": {"default": null}}, "side": {"network_mode": "service:web"}
        }}),
        digest: "d".into(),
        services: BTreeMap::from([
            ("web".into(), service(false, &["seed"])),
            ("seed".into(), service(true, &[])),
            ("once".into(), service(true, &[])),
            ("side".into(), service(false, &[])),
        ]),
        networks: vec![NetworkSpec {
            key: "default".into(),
            name: "p_default".into(),
            internal: false,
            mtu: None,
            subnet: "10.213.0.0/27".into(),
            definition: "n".into(),
        }],
        volumes: vec![VolumeSpec {
            key: "data".into(),
            name: "p_data".into(),
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
            definition: "v".into(),
        }],
        binds: Vec::new(),
        routes: Vec::new(),
        readiness: ReadinessSpec { path: "/".into(), within_seconds: 10 },
        settings: Default::default(),
    }
}

pub(crate) fn container(service: &str, state: ContainerState) -> Container {
    let address = BTreeMap::from([("p_default".to_owned(), IpAddr::from([10, 213, 0, 2]))]);
    let has_address = state == ContainerState::Running && service != "side";
    Container {
        id: format!("id-{service}"),
        name: format!("p-{service}-1"),
        service: service.into(),
        image: "x".into(),
        state,
        health: Health::None,
        addresses: if has_address { address } else { BTreeMap::new() },
        restarts: 0,
        last_exit: None,
        oneoff: false,
    }
}

pub(crate) fn whole() -> Observed {
    Observed {
        containers: vec![
            container("once", ContainerState::Running),
            container("seed", ContainerState::Exited(0)),
            container("side", ContainerState::Running),
            container("web", ContainerState::Running),
        ],
        networks: vec![Network { name: "p_default".into(), id: "n".into(), definition: None }],
        volumes: vec![Volume { name: "p_data".into(), definition: None }],
    }
}

/// What is found when this was done to a whole stack, and which containers are made anew.
fn after(harm: impl FnOnce(&mut Observed)) -> (Vec<String>, Vec<String>) {
    let mut observed = whole();
    harm(&mut observed);
    let found = damages(&stack(), &observed).iter().map(Damage::to_string).collect();
    (
        found,
        unsound(&stack(), &observed).into_iter().map(|(it, why)| format!("{}: {why}", it.service)).collect(),
    )
}

fn state(service: &'static str, state: ContainerState) -> impl FnOnce(&mut Observed) {
    move |observed| {
        observed.containers.retain(|it| it.service != service);
        observed.containers.push(container(service, state));
    }
}

fn nothing() -> (Vec<String>, Vec<String>) {
    (Vec::new(), Vec::new())
}

#[test]
fn a_whole_stack_is_whole_and_work_that_was_done_is_not_missed() {
    assert_eq!(after(|_| {}), nothing());
    assert_eq!(after(state("once", ContainerState::Exited(0))), nothing());
    assert_eq!(after(state("web", ContainerState::Restarting)), nothing(), "its policy brings it back");
    assert_eq!(after(|it| it.containers.retain(|it| it.service != "seed")), nothing());
    let oneoff = |observed: &mut Observed| {
        observed.containers.push(Container { oneoff: true, ..container("web", ContainerState::Exited(1)) });
    };
    assert_eq!(after(oneoff), nothing());
}

#[test]
fn what_ended_or_went_is_found() {
    let told = |what: &str| (vec![what.to_owned()], Vec::<String>::new());
    let killed = after(state("web", ContainerState::Exited(137)));
    assert_eq!(killed, told("web: its container ended with exit code 137"));
    assert_eq!(
        after(state("web", ContainerState::Exited(0))),
        told("web: its container ended with exit code 0"),
        "it is no job"
    );
    assert_eq!(
        after(state("once", ContainerState::Exited(3))),
        told("once: its container ended with exit code 3")
    );
    assert_eq!(
        after(|it| it.containers.retain(|it| it.service != "web")),
        told("web: 0 of 1 containers are there")
    );
    assert_eq!(
        after(|it| it.containers.retain(|it| it.service != "once")),
        told("once: 0 of 1 containers are there")
    );
    assert_eq!(after(state("web", ContainerState::Created)), told("web: its container was not started"));
    assert_eq!(after(|it| it.volumes.clear()), told("volume data: it was removed, with all that was in it"));
}

#[test]
fn what_starting_does_not_mend_is_made_anew() {
    let (found, anew) = after(state("web", ContainerState::Paused));
    assert_eq!((found.len(), anew), (1, vec!["web: it is paused".to_owned()]));
    let (found, anew) = after(|observed| {
        for container in observed.containers.iter_mut().filter(|it| it.service == "web") {
            container.addresses.clear();
        }
    });
    assert_eq!(found, ["web: its container was taken out of the network default"]);
    assert_eq!(anew, ["web: it was taken out of a network"]);
    let (found, anew) = after(|observed| {
        observed.networks.clear();
        for container in observed.containers.iter_mut().filter(|it| it.service == "web") {
            container.addresses.clear();
            container.state = ContainerState::Exited(0);
        }
    });
    assert!(found.contains(&"network default: it was removed".to_owned()), "{found:?}");
    assert!(anew.contains(&"web: a network it was in is gone".to_owned()), "{anew:?}");
    assert!(!anew.iter().any(|it| it.starts_with("side")), "it has no network of its own: {anew:?}");
}

#[test]
fn a_repair_that_made_volumes_anew_says_so() {
    let lost = |plan: &str| loss(&lost_volumes(&stack(), &["up: why\n", plan]));
    let told = lost("create volume p_data: data asks for it\nup: why\n").unwrap();
    assert!(told.starts_with("data lost:") && told.contains("(data)"), "{told}");
    assert_eq!(lost("create volume p_data2: x\nup: create volume p_data: x\n"), None);
}
