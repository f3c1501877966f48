//! What became of a stack since it was ready: whether all of it is still there and runs as it was left. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::environment::{Environment, Phase};
use super::observed::{Container, ContainerState, Observed};
use super::plan::Step;
use super::rewrite::services_of;
use super::stack::{Condition, NetworkSpec, Service, Stack};

/// Something that is to be there, or to run, and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The service, or `network <key>`, `volume <key>`.
    pub what: String,
    pub why: String,
    /// The service's container ended by itself or was ended, with this exit code.
    pub exit: Option<Exit>,
}

/// How a container of a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub service: String,
    pub container: String,
    pub code: i64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Whether the engine is compared with what is stored: what is worked on, sleeps, ends or failed is not.
pub fn concerns(environment: &Environment) -> bool {
    environment.phase == Phase::Ready && !environment.has_work() && environment.intent.runs()
}

/// All that is broken and stays so unless somebody does something; nothing when the stack is whole. What its restart
/// policy brings back is not broken, nor is a service that did its work.
pub fn damages(stack: &Stack, observed: &Observed) -> Vec<Damage> {
    let mut found = Vec::new();
    let damage = |what: String, why: &str| Damage { what, why: why.to_owned(), exit: None };
    for volume in &stack.volumes {
        if !observed.volumes.iter().any(|there| there.name == volume.name) {
            found.push(damage(format!("volume {}", volume.key), "it was removed, with all that was in it"));
        }
    }
    for network in &stack.networks {
        if !is_there(network, observed) {
            found.push(damage(format!("network {}", network.key), "it was removed"));
        }
    }
    for (name, service) in &stack.services {
        let before = found.len();
        let mut standing = 0;
        for container in containers_of(observed, name) {
            match fault(stack, service, container) {
                Some((why, exit)) => found.push(Damage { what: name.clone(), why, exit }),
                None => standing += 1,
            }
        }
        let wanted = usize::try_from(service.replicas).unwrap_or(usize::MAX);
        if standing < wanted && found.len() == before && !did_its_work(stack, name, service) {
            let why = format!("{standing} of {wanted} containers are there");
            found.push(Damage { what: name.clone(), why, exit: None });
        }
    }
    found
}

/// Containers that starting does not mend: they are made anew.
pub fn unsound<'a>(stack: &Stack, observed: &'a Observed) -> Vec<(&'a Container, &'static str)> {
    let gone: Vec<&NetworkSpec> =
        stack.networks.iter().filter(|network| !is_there(network, observed)).collect();
    let mut found = Vec::new();
    for container in observed.containers.iter().filter(|container| !container.oneoff) {
        if !stack.services.contains_key(&container.service) {
            continue;
        }
        let networks = networks_of(stack, &container.service);
        // A stopped one knows its networks by their ids: it never starts again when one of them was made anew.
        let lost = networks.iter().any(|network| gone.iter().any(|gone| gone.name == network.name));
        let why = match container.state {
            ContainerState::Paused => "it is paused",
            ContainerState::Dead => "it is dead",
            ContainerState::Running if missing_network(stack, container).is_some() => {
                "it was taken out of a network"
            }
            _ if lost => "a network it was in is gone",
            ContainerState::Created
            | ContainerState::Running
            | ContainerState::Restarting
            | ContainerState::Exited(_) => continue,
        };
        found.push((container, why));
    }
    found
}

/// Keys of the volumes that the printed plans of a repair have made: what was in them is lost.
pub fn lost_volumes<'a>(stack: &'a Stack, plans: &[&str]) -> BTreeSet<&'a str> {
    let is_made = |name: &str| {
        let step = Step::CreateVolume { name: name.to_owned() }.to_string();
        let begins = |line: &str| line.strip_prefix(&step).is_some_and(|rest| rest.starts_with(':'));
        plans.iter().any(|plan| plan.lines().any(begins))
    };
    let made = stack.volumes.iter().filter(|volume| is_made(&volume.name));
    made.map(|volume| volume.key.as_str()).collect()
}

/// What is told when volumes were lost.
pub fn loss(lost: &BTreeSet<&str>) -> Option<String> {
    if lost.is_empty() {
        return None;
    }
    let keys = lost.iter().copied().collect::<Vec<_>>().join(", ");
    Some(format!(
        "data lost: volumes were removed from outside while the branch ran ({keys}); they were made anew, empty"
    ))
}

type Fault = (String, Option<Exit>);

fn fault(stack: &Stack, service: &Service, container: &Container) -> Option<Fault> {
    let plain = |why: &str| Some((why.to_owned(), None));
    match container.state {
        ContainerState::Running => {
            let network = missing_network(stack, container)?;
            Some((format!("its container was taken out of the network {}", network.key), None))
        }
        ContainerState::Restarting => None,
        ContainerState::Exited(0) if service.may_complete => None,
        ContainerState::Exited(code) => {
            let (service, id) = (container.service.clone(), container.id.clone());
            let exit = Exit { service, container: id, code };
            Some((format!("its container ended with exit code {code}"), Some(exit)))
        }
        ContainerState::Paused => plain("its container is paused"),
        ContainerState::Dead => plain("its container is dead"),
        ContainerState::Created => plain("its container was not started"),
    }
}

fn missing_network<'a>(stack: &'a Stack, container: &Container) -> Option<&'a NetworkSpec> {
    networks_of(stack, &container.service)
        .into_iter()
        .find(|network| !container.addresses.contains_key(&network.name))
}

/// None for a service in the network of another one.
fn networks_of<'a>(stack: &'a Stack, service: &str) -> Vec<&'a NetworkSpec> {
    let found = services_of(&stack.document).find(|(name, _)| *name == service);
    let Some(keys) = found.and_then(|(_, service)| service.get("networks")?.as_object()) else {
        return Vec::new();
    };
    stack.networks.iter().filter(|network| keys.contains_key(&network.key)).collect()
}

/// Others waited for its end, and they run: nobody misses its container.
fn did_its_work(stack: &Stack, name: &str, service: &Service) -> bool {
    let awaited =
        |other: &Service| other.depends_on.get(name) == Some(&Condition::ServiceCompletedSuccessfully);
    service.may_complete && stack.services.values().any(awaited)
}

fn is_there(network: &NetworkSpec, observed: &Observed) -> bool {
    observed.networks.iter().any(|there| there.name == network.name)
}

fn containers_of<'a>(observed: &'a Observed, service: &'a str) -> impl Iterator<Item = &'a Container> {
    observed.containers.iter().filter(move |container| container.service == service && !container.oneoff)
}

#[cfg(test)]
pub(super) mod tests;
