//! When a stack is ready, still starting, or failed; and where its services are reached.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::observed::{Container, ContainerState, Health, Observed};
use super::route::{Replica, Scheme, Upstream};
use super::stack::{RouteSpec, Service, Stack};

mod jobs;
mod order;

pub use jobs::{JobPlace, job_place, running};
pub use order::{startable, to_start};

/// Restarts of a container that are borne before its service counts as failed.
const RESTARTS_BORNE: u64 = 3;
/// Pause before the second probe.
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// Longest pause between two probes.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// How far a start has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet; what is waited for, one text a service.
    Pending { waiting: Vec<String> },
    /// Every service is as it should be. The primary still has to answer.
    Ready,
    /// It will not get better by waiting.
    Failed { service: String, reason: String, container: Option<String> },
}

/// Judges by the containers: a health check must be healthy; every other one runs, or has exited 0 where that is its
/// proper end.
pub fn judge(stack: &Stack, observed: &Observed) -> Readiness {
    let mut waiting = Vec::new();
    for (name, service) in &stack.services {
        let mut standing = 0;
        for container in containers_of(observed, name) {
            match judge_container(service, container) {
                Verdict::Good => standing += 1,
                Verdict::Waiting(why) => waiting.push(format!("{name} {why}")),
                Verdict::Bad(why) => {
                    let container = Some(container.id.clone());
                    return Readiness::Failed { service: name.clone(), reason: why, container };
                }
            }
        }
        let wanted = usize::try_from(service.replicas).unwrap_or(usize::MAX);
        if standing < wanted && !waiting.iter().any(|text| text.starts_with(&format!("{name} "))) {
            waiting.push(format!("{name} has {standing} of {wanted} containers"));
        }
    }
    if waiting.is_empty() { Readiness::Ready } else { Readiness::Pending { waiting } }
}

enum Verdict {
    Good,
    Waiting(String),
    Bad(String),
}

fn judge_container(service: &Service, container: &Container) -> Verdict {
    match container.state {
        ContainerState::Running => match container.health {
            Health::None | Health::Healthy => Verdict::Good,
            Health::Starting => Verdict::Waiting("is not healthy yet".to_owned()),
            Health::Unhealthy => Verdict::Waiting("is unhealthy".to_owned()),
        },
        ContainerState::Exited(0) if service.may_complete => Verdict::Good,
        ContainerState::Exited(code) => Verdict::Bad(format!("its container exited with code {code}")),
        ContainerState::Restarting if container.restarts >= RESTARTS_BORNE => {
            Verdict::Bad(format!("its container keeps crashing, {} restarts so far", container.restarts))
        }
        ContainerState::Restarting => Verdict::Waiting("restarts".to_owned()),
        ContainerState::Created => Verdict::Waiting("is not started yet".to_owned()),
        ContainerState::Paused => Verdict::Waiting("is paused".to_owned()),
        ContainerState::Dead => Verdict::Bad("its container is dead".to_owned()),
    }
}

/// A service that was ready `before` and has ended since, and why; what ended well and may is as it should be, and
/// restarts on the way to readiness are forgiven.
pub fn crashed(stack: &Stack, before: &Observed, observed: &Observed) -> Option<(String, String)> {
    let restarts_before = |container: &Container| {
        before.containers.iter().find(|there| there.id == container.id).map_or(0, |there| there.restarts)
    };
    observed.containers.iter().filter(|container| !container.oneoff).find_map(|container| {
        let service = stack.services.get(&container.service)?;
        let why = match (judge_container(service, container), container.state) {
            (Verdict::Bad(why), _) => why,
            (_, ContainerState::Restarting) => "its container exited and is started again".to_owned(),
            (Verdict::Good | Verdict::Waiting(_), _) if container.restarts > restarts_before(container) => {
                "its container exited and was started again".to_owned()
            }
            (Verdict::Good | Verdict::Waiting(_), _) => return None,
        };
        Some((container.service.clone(), why))
    })
}

/// Why the route's service cannot be reached and will not be by waiting; nothing while it may come back.
pub fn why_down(route: &RouteSpec, observed: &Observed) -> Option<String> {
    let mut why = format!("{} has no container", route.service);
    for container in containers_of(observed, &route.service) {
        why = match container.state {
            ContainerState::Exited(code) => {
                format!("{}: its container exited with code {code}", route.service)
            }
            ContainerState::Restarting if container.restarts >= RESTARTS_BORNE => {
                format!("{}: its container keeps crashing", route.service)
            }
            ContainerState::Dead => format!("{}: its container is dead", route.service),
            ContainerState::Paused => format!("{}: its container is paused", route.service),
            ContainerState::Created | ContainerState::Running | ContainerState::Restarting => return None,
        };
    }
    Some(why)
}

/// The container to look at when a start failed or took too long: of the service the reason names, else of one that
/// is not sound.
pub fn suspect(stack: &Stack, observed: &Observed, reason: &str) -> Option<String> {
    let unsound = |container: &&Container| {
        stack
            .services
            .get(&container.service)
            .is_some_and(|service| !matches!(judge_container(service, container), Verdict::Good))
    };
    let named = |container: &&Container| reason.contains(&container.name);
    // It may run again by now, as if nothing had been.
    let blamed = |container: &&Container| {
        reason.strip_prefix(container.service.as_str()).is_some_and(|rest| rest.starts_with(": "))
    };
    let primary = || stack.routes.first().and_then(|route| containers_of(observed, &route.service).next());
    observed
        .containers
        .iter()
        .find(named)
        .or_else(|| observed.containers.iter().find(blamed))
        .or_else(|| observed.containers.iter().find(unsound))
        .or_else(primary)
        .map(|container| container.id.clone())
}

/// Whether a service and all that it depends on are sound enough to be routed.
pub fn serving(stack: &Stack, observed: &Observed, service: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![service];
    while let Some(name) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        let Some(needed) = stack.services.get(name) else { return false };
        let sound = containers_of(observed, name)
            .any(|container| matches!(judge_container(needed, container), Verdict::Good));
        let job = needed.may_complete && containers_of(observed, name).next().is_none();
        if !sound && !job {
            return false;
        }
        open.extend(needed.depends_on.keys().map(String::as_str));
    }
    true
}

/// Where the route's service is reached: its running containers in the route's network, at the address of the service
/// whose network they share. One that is not healthy is left out where another is.
pub fn upstream(route: &RouteSpec, observed: &Observed) -> Option<Upstream> {
    let mut found = reached(route, observed);
    if found.iter().any(|(sound, _)| *sound) {
        found.retain(|(sound, _)| *sound);
    }
    let mut found = found.into_iter().map(|(_, replica)| replica);
    let first = found.next()?;
    Some(Upstream {
        others: found.collect(),
        balance: route.manner.balance,
        sticky: route.manner.sticky,
        timeout: route.manner.timeout_seconds.map(Duration::from_secs),
        ..Upstream::new(first.address, route.scheme, first.container)
    })
}

/// Where the service's containers are reached and whether each is healthy, in the order of their names.
fn reached(route: &RouteSpec, observed: &Observed) -> Vec<(bool, Replica)> {
    let running = |service| {
        containers_of(observed, service).filter(|container| container.state == ContainerState::Running)
    };
    let address = |container: &Container| container.addresses.get(&route.network).copied();
    let shared = route.host_service.as_ref().map(|host| running(host).find_map(address));
    let mut containers: Vec<&Container> = running(&route.service).collect();
    containers.sort_by_key(|container| &container.name);
    let mut found: Vec<(bool, Replica)> = containers
        .into_iter()
        .filter_map(|container| {
            let address = shared.unwrap_or_else(|| address(container))?;
            let address = SocketAddr::new(address, route.port);
            let is_sound = matches!(container.health, Health::None | Health::Healthy);
            Some((is_sound, Replica { address, container: container.id.clone() }))
        })
        .collect();
    // In one network name space only one of them can listen.
    if shared.is_some() {
        found.truncate(1);
    }
    found
}

/// What a probe saw, judged: HTTP below 500; for TCP a connection is enough.
pub fn probe_passes(scheme: Scheme, status: Option<u16>) -> bool {
    match (scheme, status) {
        (Scheme::Tcp, _) => true,
        (Scheme::Http | Scheme::Https | Scheme::H2c, Some(status)) => status < 500,
        (Scheme::Http | Scheme::Https | Scheme::H2c, None) => false,
    }
}

/// Pause before the next probe: 50 ms at first, doubling up to one second.
pub fn probe_delay(attempt: u32) -> Duration {
    FIRST_DELAY.saturating_mul(2_u32.saturating_pow(attempt / 4)).min(LONGEST_DELAY)
}

fn containers_of<'a>(observed: &'a Observed, service: &'a str) -> impl Iterator<Item = &'a Container> {
    observed.containers.iter().filter(move |container| container.service == service && !container.oneoff)
}

#[cfg(test)]
mod tests;
