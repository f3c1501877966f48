//! The way to the engine: for drey itself, and for the tools that know sockets only.

use std::path::PathBuf;

use anyhow::Context;

use crate::adapters::docker::{Bridge, Reach};
use crate::config::Settings;
use crate::supervisor::Supervisor;

/// None where the engine is spoken to directly.
pub(super) fn reach(settings: &Settings) -> Option<Reach> {
    let engine = &settings.engine;
    Reach::of(&engine.host, engine.tls.as_ref(), (&engine.ssh, home()))
}

/// Where Compose and the builder find the engine.
pub(super) fn for_tools(settings: &Settings) -> String {
    match reach(settings) {
        Some(_) => format!("unix://{}", socket(settings).display()),
        None => settings.engine.host.clone(),
    }
}

/// The socket that leads to an engine elsewhere, until nothing works any more. The data directory is its owner's only.
pub(super) fn spawn_bridge(settings: &Settings, supervisor: &Supervisor) -> anyhow::Result<()> {
    let Some(reach) = reach(settings) else { return Ok(()) };
    let socket = socket(settings);
    let bridge = Bridge::open(&socket, reach)
        .with_context(|| format!("{}: the engine's socket cannot be made", socket.display()))?;
    let faces = supervisor.faces();
    let ending = faces.draining();
    faces.spawn("engine socket", async move { bridge.serve(ending.cancelled()).await });
    Ok(())
}

fn socket(settings: &Settings) -> PathBuf {
    settings.data_dir.join("engine.sock")
}

/// Of whoever runs the daemon.
pub(super) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}
