//! What `drey check` says of what the machine puts around environments.

use std::sync::Arc;

use super::finding::{Findings, Level};
use super::wiring;
use crate::adapters::cgroups::EngineCgroups;
use crate::adapters::firewall::Nftables;
use crate::config::Settings;
use crate::domain::names::InstanceId;
use crate::domain::walls::Mode;

/// Whether branches can be walled in.
pub(super) async fn firewall(settings: &Settings, findings: &mut Findings) {
    const WHAT: &str = "firewall";
    let mode = settings.engine.firewall;
    if mode == Mode::Off {
        let message =
            "off: branches reach each other's published ports and this machine's own (engine.firewall)";
        return findings.add(Level::Warn, WHAT, message);
    }
    let lacking = if mode == Mode::Required { Level::Fail } else { Level::Warn };
    if !settings.engine.host.starts_with("unix://") {
        let message =
            "the engine runs on another machine, whose packet filter drey does not reach; wall it in there";
        return findings.add(lacking, WHAT, message);
    }
    match Nftables::version().await {
        Ok(version) if settings.engine.wall_in.is_empty() => findings.add(
            Level::Ok,
            WHAT,
            format!("{version}; builds use the engine's default bridge: name its subnet in engine.wall_in to wall it in too"),
        ),
        Ok(version) => findings.add(Level::Ok, WHAT, version),
        Err(error) => findings.add(lacking, WHAT, format!("no walls between branches: {error}")),
    }
}

/// Whether the engine takes a parent group for an environment's containers.
pub(super) async fn cgroups(settings: &Settings, findings: &mut Findings) {
    const WHAT: &str = "cgroups";
    let engine = Arc::new(wiring::engine(settings));
    let groups = EngineCgroups::new(engine, InstanceId(String::new()), &settings.engine.host);
    match groups.describe().await {
        Ok(Some(found)) => findings.add(Level::Ok, WHAT, found),
        Ok(None) => findings.add(
            Level::Warn,
            WHAT,
            "this engine takes none: an environment's services have limits, but builds have not",
        ),
        Err(error) => findings.add(Level::Warn, WHAT, format!("cannot be told: {error}")),
    }
}
