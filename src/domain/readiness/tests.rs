use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::domain::backend::Manner;
use crate::domain::stack::{Condition, ReadinessSpec};

fn service(may_complete: bool, depends_on: &[(&str, Condition)]) -> Service {
    Service {
        image: "x".into(),
        replicas: 1,
        has_health_check: false,
        may_complete,
        depends_on: depends_on.iter().map(|(name, condition)| ((*name).to_owned(), *condition)).collect(),
    }
}

pub(super) fn stack() -> Stack {
    Stack {
        document: json!({}),
        digest: String::new(),
        services: BTreeMap::from([
            ("web".into(), service(false, &[("db", Condition::ServiceHealthy)])),
            ("db".into(), service(false, &[("migrate", Condition::ServiceCompletedSuccessfully)])),
            ("migrate".into(), service(true, &[])),
            ("other".into(), service(false, &[])),
        ]),
        networks: Vec::new(),
        volumes: Vec::new(),
        binds: Vec::new(),
        routes: Vec::new(),
        readiness: ReadinessSpec { path: "/".into(), within_seconds: 10 },
        settings: Default::default(),
    }
}

fn container(service: &str, state: ContainerState, health: Health) -> Container {
    Container {
        id: format!("id-{service}"),
        name: format!("p-{service}-1"),
        service: service.into(),
        image: "x".into(),
        state,
        health,
        addresses: BTreeMap::from([("p_default".into(), std::net::IpAddr::from([10, 0, 0, 2]))]),
        restarts: 0,
        last_exit: None,
        oneoff: false,
    }
}

pub(super) fn sound() -> Observed {
    Observed {
        containers: vec![
            container("db", ContainerState::Running, Health::Healthy),
            container("migrate", ContainerState::Exited(0), Health::None),
            container("other", ContainerState::Running, Health::None),
            container("web", ContainerState::Running, Health::None),
        ],
        ..Observed::default()
    }
}

#[test]
fn ready_when_all_are_healthy_running_or_properly_ended() {
    assert_eq!(judge(&stack(), &sound()), Readiness::Ready);
}

#[test]
fn waits_for_health_and_for_missing_containers() {
    let mut observed = sound();
    observed.containers[0].health = Health::Starting;
    observed.containers.pop();
    let Readiness::Pending { waiting } = judge(&stack(), &observed) else { panic!("not pending") };
    assert_eq!(waiting, ["db is not healthy yet", "web has 0 of 1 containers"]);
}

#[test]
fn an_exit_fails_at_once_unless_it_is_the_proper_end() {
    let mut observed = sound();
    observed.containers[3].state = ContainerState::Exited(0);
    assert!(matches!(judge(&stack(), &observed), Readiness::Failed { service, .. } if service == "web"));
    let mut observed = sound();
    observed.containers[1].state = ContainerState::Exited(1);
    assert!(matches!(judge(&stack(), &observed), Readiness::Failed { service, .. } if service == "migrate"));
}

#[test]
fn a_crash_loop_fails_after_a_few_restarts() {
    let mut observed = sound();
    observed.containers[3].state = ContainerState::Restarting;
    assert!(matches!(judge(&stack(), &observed), Readiness::Pending { .. }));
    observed.containers[3].restarts = 3;
    assert!(matches!(judge(&stack(), &observed), Readiness::Failed { .. }));
}

#[test]
fn a_route_is_served_while_all_it_needs_is_sound() {
    let mut observed = sound();
    observed.containers[2].state = ContainerState::Exited(1);
    assert!(serving(&stack(), &observed, "web"), "other is not needed by web");
    observed.containers[0].health = Health::Unhealthy;
    assert!(!serving(&stack(), &observed, "web"), "db is");
}

#[test]
fn probes_pass_below_500_and_back_off() {
    assert!(probe_passes(Scheme::Http, Some(404)) && !probe_passes(Scheme::Http, Some(502)));
    assert!(probe_passes(Scheme::Tcp, None) && !probe_passes(Scheme::H2c, None));
    assert_eq!(probe_delay(0), Duration::from_millis(50));
    assert_eq!(probe_delay(u32::MAX), Duration::from_secs(1));
}

fn route() -> RouteSpec {
    RouteSpec {
        service: "web".into(),
        port: 80,
        scheme: Scheme::Http,
        label: String::new(),
        path: Default::default(),
        strip_path: false,
        network: "p_default".into(),
        host_service: None,
        manner: Manner::default(),
    }
}

#[test]
fn all_running_containers_of_a_service_are_given_and_the_healthy_ones_where_there_are_some() {
    let mut observed = sound();
    let web = observed.containers[3].clone();
    for number in [3, 4] {
        let address = std::net::IpAddr::from([10, 0, 0, number]);
        observed.containers.push(Container {
            id: format!("web-{number}"),
            name: format!("p-web-{number}"),
            addresses: [("p_default".to_owned(), address)].into(),
            ..web.clone()
        });
    }
    observed.containers.reverse();
    let addresses = |observed: &Observed| {
        let found = upstream(&route(), observed).unwrap();
        let others = found.others.iter().map(|other| other.address.ip().to_string());
        std::iter::once(found.address.ip().to_string()).chain(others).collect::<Vec<_>>()
    };
    assert_eq!(addresses(&observed), ["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    observed.containers[1].health = Health::Starting;
    assert_eq!(addresses(&observed), ["10.0.0.2", "10.0.0.4"]);
    observed.containers[0].state = ContainerState::Exited(1);
    assert_eq!(addresses(&observed), ["10.0.0.2"]);
    for container in &mut observed.containers {
        container.health = Health::Unhealthy;
    }
    assert_eq!(addresses(&observed), ["10.0.0.2", "10.0.0.3"], "none is healthy: better than nobody");
}

#[test]
fn a_service_that_ends_after_it_was_ready_has_crashed_and_one_that_was_restarted_before_has_not() {
    let mut before = sound();
    before.containers[3].restarts = 2;
    assert_eq!(crashed(&stack(), &before, &before), None);
    let mut now = before.clone();
    now.containers[3].restarts = 3;
    assert_eq!(crashed(&stack(), &before, &now).unwrap().0, "web");
    let mut now = before.clone();
    now.containers[2].state = ContainerState::Restarting;
    assert_eq!(crashed(&stack(), &before, &now).unwrap().0, "other");
    let mut now = before.clone();
    now.containers[2].state = ContainerState::Exited(3);
    assert!(crashed(&stack(), &before, &now).unwrap().1.contains("code 3"));
}

#[test]
fn what_may_come_back_is_waited_for_and_what_will_not_is_told() {
    let route = route();
    let mut observed = sound();
    assert_eq!(why_down(&route, &observed), None);
    observed.containers[3].state = ContainerState::Restarting;
    assert_eq!(why_down(&route, &observed), None);
    observed.containers[3].restarts = 3;
    assert!(why_down(&route, &observed).unwrap().contains("keeps crashing"));
    observed.containers[3].state = ContainerState::Exited(0);
    assert!(why_down(&route, &observed).unwrap().contains("code 0"));
    observed.containers.pop();
    assert_eq!(why_down(&route, &observed).unwrap(), "web has no container");
}

#[test]
fn a_service_in_the_network_of_another_is_reached_at_the_others_address() {
    let mut observed = sound();
    let addresses = std::mem::take(&mut observed.containers[3].addresses);
    observed.containers[2].addresses = addresses;
    let mut route = route();
    assert_eq!(upstream(&route, &observed), None);
    route.host_service = Some(observed.containers[2].service.clone());
    let found = upstream(&route, &observed).unwrap();
    assert_eq!(
        (found.address.to_string().as_str(), &found.container),
        ("10.0.0.2:80", &observed.containers[3].id)
    );
    observed.containers[2].state = ContainerState::Exited(0);
    assert_eq!(upstream(&route, &observed), None);
}
