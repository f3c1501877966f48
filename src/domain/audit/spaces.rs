//! What a container shares with others: name spaces, networks, ports, names of hosts.

use std::net::IpAddr;

use super::Look;
use crate::domain::policy::Rule;

pub(super) fn check(look: &mut Look<'_>) {
    name_spaces(look);
    networks(look);
    let container = look.container;
    for port in &container.published {
        look.breach(Rule::Port, format!("takes a port of the host for {port}"));
    }
    if !container.links.is_empty() {
        look.breach(Rule::ExternalLink, format!("is linked to {}", container.links.join(", ")));
    }
    if look.overlay("extra_hosts").is_none() {
        for entry in &container.extra_hosts {
            let address = entry.split_once([':', '=']).map_or("", |(_, address)| address);
            let address: Option<IpAddr> = address.trim_matches(['[', ']']).parse().ok();
            let is_granted = |ip: IpAddr| look.expected.permissions.allows(&format!("extra-host:{ip}"));
            if !address.is_some_and(is_granted) {
                look.breach(Rule::HostGateway, format!("has a name for an address outside: {entry}"));
            }
        }
    }
}

fn name_spaces(look: &mut Look<'_>) {
    let spaces = &look.container.name_spaces;
    let shared = |kind: &str, mode: &str| format!("has the {kind} name space {mode:?}");
    if !["", "private"].contains(&spaces.pid.as_str()) && !look.is_of_own(&spaces.pid) {
        look.breach(Rule::Pid, shared("process", &spaces.pid));
    }
    if !["", "private", "shareable", "none"].contains(&spaces.ipc.as_str()) && !look.is_of_own(&spaces.ipc) {
        look.breach(Rule::Ipc, shared("communication", &spaces.ipc));
    }
    if !spaces.uts.is_empty() {
        look.breach(Rule::Uts, shared("host", &spaces.uts));
    }
    if !spaces.user.is_empty() {
        look.breach(Rule::UserNamespace, shared("user", &spaces.user));
    }
    // Stacks of older versions leave the kind to the engine.
    let is_left_open = look.document("cgroup").is_none();
    if spaces.cgroup != "private" && !is_left_open {
        look.breach(Rule::Cgroup, shared("control group", &spaces.cgroup));
    }
    let parent = look.document("cgroup_parent").and_then(|parent| parent.as_str()).unwrap_or_default();
    if look.container.cgroup_parent != parent {
        let found = &look.container.cgroup_parent;
        look.breach(Rule::Cgroup, format!("is in the control group {found:?}, not in {parent:?}"));
    }
}

fn networks(look: &mut Look<'_>) {
    let spaces = &look.container.name_spaces;
    let prefix = format!("{}_", look.expected.project);
    let is_own = |name: &str| name == "none" || name.starts_with(&prefix);
    if !is_own(&spaces.network) && !look.is_of_own(&spaces.network) {
        look.breach(Rule::NetworkMode, format!("has the network mode {:?}", spaces.network));
    }
    for name in spaces.networks.iter().filter(|name| !is_own(name)) {
        look.breach(Rule::ExternalNetwork, format!("is in the network {name}, which is not its own"));
    }
}
