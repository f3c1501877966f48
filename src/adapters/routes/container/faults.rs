//! Why a container cannot be worked with, in words that say what to do.

use std::path::{Path, PathBuf};

use super::ContainerSettings;
use crate::adapters::routes::fault::Fault;
use crate::domain::joining::OwnNetwork;
use crate::ports::{ForeignContainer, Mount, PortError, Rested};

/// Containers forward packets like the machine that they are on, unless they were started with this.
const FORWARDING: &str = "net.ipv4.ip_forward";
/// First processes that a proxy's signal would end.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "busybox"];

/// For `drey proxy status`.
pub(super) fn word(found: Option<&ForeignContainer>) -> &'static str {
    match found.map(|found| &found.rested) {
        None => "absent",
        Some(None) => "running",
        Some(Some(Rested::Paused)) => "paused",
        Some(Some(Rested::Restarting)) => "restarting",
        Some(Some(Rested::Stopped(_))) => "stopped",
    }
}

/// The container, where it runs.
pub(super) fn running(
    settings: &ContainerSettings,
    found: Option<ForeignContainer>,
) -> Result<ForeignContainer, Fault> {
    let (name, section) = (&settings.name, &settings.section);
    let down = |why: String| Err(Fault::Down(format!("container {name}: {why}")));
    let Some(found) = found else {
        return down(format!(
            "is not there: start it, or mend {section}.container; docs/providers.md has a compose file"
        ));
    };
    match &found.rested {
        None => Ok(found),
        // It goes on by what it has read, and with what is connected: nothing may count as over.
        Some(Rested::Paused) => {
            Err(Fault::Container(format!("container {name}: is paused: docker unpause {name}")))
        }
        Some(Rested::Restarting) => {
            down(format!("ends again and again, and is started again: docker logs {name}"))
        }
        Some(Rested::Stopped(code)) => down(format!(
            "does not run (exit code {code}): docker start {name}; docker logs {name} may say why"
        )),
    }
}

/// Whether it sees what drey writes, and reaches the gate.
pub(super) fn check(settings: &ContainerSettings, found: &ForeignContainer) -> Result<(), Fault> {
    let faulty = |why: String| Err(Fault::Container(format!("container {}: {why}", settings.name)));
    if let Some(why) = mount_fault(settings, &found.mounts) {
        return faulty(why);
    }
    let gate = settings.gate;
    match (settings.is_on_host, found.is_on_host) {
        (true, false) => {
            let gateways = found.networks.values().filter_map(|endpoint| endpoint.gateway);
            let example = gateways.map(|it| format!(" ({it}:{})", gate.port())).next().unwrap_or_default();
            faulty(format!(
                "does not reach drey's gate at {gate}: set proxy.gate_listen to an address of this machine on its \
                 network{example}, or start it on the host's network (network_mode: host)"
            ))
        }
        (false, true) => faulty(format!(
            "is on the host's network, where everybody could reach the gate at {gate}: set proxy.gate_listen to \
             loopback (127.0.0.1:{}), or give it a network of its own",
            gate.port()
        )),
        (true, true) | (false, false) => Ok(()),
    }
}

fn mount_fault(settings: &ContainerSettings, mounts: &[Mount]) -> Option<String> {
    let directory = &settings.directory;
    let (shown, section) = (directory.display(), &settings.section);
    let way_out =
        format!("mount it at the same path (volumes: [\"{shown}:{shown}\"]), or mend {section}.directory");
    let Some((mount, source)) = source_of(directory, mounts) else {
        return Some(format!("{shown} is not mounted in it: {way_out}"));
    };
    if !is_same(&source, directory) {
        return Some(format!("it has {} at {shown}: {way_out}", source.display()));
    }
    if !mount.is_writable {
        return Some(format!(
            "{shown} is read-only in it: the proxy has its sockets there; mount it without \":ro\""
        ));
    }
    None
}

/// What of this machine the container sees at the path: the innermost mount counts.
fn source_of<'a>(path: &Path, mounts: &'a [Mount]) -> Option<(&'a Mount, PathBuf)> {
    let around = mounts.iter().filter_map(|mount| {
        let rest = path.strip_prefix(&mount.destination).ok()?;
        // An empty rest would end the path with a slash.
        let inside = if rest.as_os_str().is_empty() { mount.source.clone() } else { mount.source.join(rest) };
        Some((mount, inside))
    });
    around.max_by_key(|(mount, _)| mount.destination.components().count())
}

/// The same folder, also by a symbolic link.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_gone| path.to_owned());
    one == other || real(one) == real(other)
}

/// A shell as the first process would end by the signal, and the container with it.
pub(super) fn check_first_process(
    settings: &ContainerSettings,
    found: &ForeignContainer,
) -> Result<(), Fault> {
    let Some(process) = found.first_process else { return Ok(()) };
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    if !SHELLS.contains(&name.trim()) {
        return Ok(());
    }
    Err(Fault::Container(format!(
        "container {}: its first process is a shell ({}), which would end by the signal for {}: begin the command with `exec`",
        settings.name,
        name.trim(),
        settings.program
    )))
}

/// On two networks at once it would be a router between branches.
pub(super) fn opens_ways(settings: &ContainerSettings, found: &ForeignContainer) -> Option<String> {
    if found.sysctls.get(FORWARDING).is_some_and(|value| value.trim() == "0") {
        return None;
    }
    Some(format!(
        "container {} would forward packets from one branch to another: start it with the sysctl {FORWARDING}=0 (sysctls: \
         {{ {FORWARDING}: \"0\" }})",
        settings.name
    ))
}

/// Why it is not on a network that it should be on.
pub(super) fn refused(settings: &ContainerSettings, network: &OwnNetwork, error: &PortError) -> String {
    let full = error.to_string().contains("no available");
    let way_out = if full { "; the network has no address left: it needs one for the proxy" } else { "" };
    format!("container {} cannot join the network {}: {error}{way_out}", settings.name, network.name)
}
