//! Traefik in front: what drives it.

use std::sync::Arc;

use crate::adapters::routes::{APPLIES_WITHIN, Applier, Apply, Disk, Traefik, TraefikSettings};
use crate::config::Settings;

/// What hands it the routes in this folder.
pub(super) fn driven(settings: &Settings, disk: &Disk) -> Arc<dyn Apply> {
    let told = settings.proxy.traefik.clone();
    let driver = Traefik::new(
        disk.clone(),
        TraefikSettings {
            syntax: told.syntax,
            gate: told.gate,
            entry_points: told.entry_points,
            redirected: told.redirected,
            resolver: told.resolver,
            file: told.file,
            api: told.api,
            polls_every: told.poll_interval,
            applies_within: APPLIES_WITHIN,
        },
    );
    Arc::new(Applier::new(Arc::new(driver), disk.clone()))
}
