//! A proxy in front that runs in a container.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::wiring;
use crate::adapters::docker::DockerForeign;
use crate::adapters::routes::{Container, ContainerSettings};
use crate::config::Settings;
use crate::domain::names::{InstanceId, ProjectName};
use crate::proxy::Proxy;
use crate::supervisor::Supervisor;

/// The one that is configured; none where the proxy is a process of this machine.
pub(super) fn container(
    settings: &Settings,
    instance: &InstanceId,
    directory: &Path,
) -> Option<Arc<Container>> {
    let provider = &settings.proxy.provider;
    let kind = provider.kind.word();
    let engine = Arc::new(wiring::engine(settings));
    let of_container = ContainerSettings {
        name: provider.container()?.to_owned(),
        program: kind.to_owned(),
        directory: directory.to_owned(),
        is_on_host: !provider.is_apart(),
        gate: provider.gate_listen,
        section: format!("proxy.{kind}"),
        prefix: ProjectName::prefix(instance),
    };
    Some(Arc::new(Container::new(Arc::new(DockerForeign::new(engine, instance.clone())), of_container)))
}

/// Where the proxy tells which configuration it serves by: on all addresses of its own network, of which none is known before
/// it runs.
pub(super) fn confirm(settings: &Settings, configured: SocketAddr) -> SocketAddr {
    match settings.proxy.provider.is_apart() {
        true => SocketAddr::from((Ipv4Addr::UNSPECIFIED, configured.port())),
        false => configured,
    }
}

/// Where Caddy takes configurations. On networks that it shares with branches it must not: whoever reaches it can change
/// everything.
pub(super) fn admin(settings: &Settings, configured: SocketAddr, folder: &Path) -> String {
    match settings.proxy.provider.is_apart() {
        true => format!("unix/{}", folder.join("caddy.sock").display()),
        false => configured.to_string(),
    }
}

/// The gate believes the container what it says of clients, wherever it sits just now.
pub(super) fn spawn_trust(container: &Container, proxy: &Arc<Proxy>, supervisor: &Supervisor) {
    let (mut seat, proxy, draining) = (container.seat(), proxy.clone(), supervisor.draining());
    supervisor.spawn("trust", async move {
        loop {
            let addresses = seat.borrow_and_update().addresses.clone();
            proxy.stands_in_front(&addresses);
            tokio::select! {
                () = draining.cancelled() => return,
                changed = seat.changed() => if changed.is_err() { return },
            }
        }
    });
}
