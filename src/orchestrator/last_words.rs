//! What containers write until they are replaced, taken down beside the work.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::names::EnvironmentId;
use crate::ports::{LogRange, PortResult};

use super::house::House;

/// How long after the work a container's end is waited for: what was replaced has ended by then, what goes on running
/// keeps its own log.
const GRACE: Duration = Duration::from_secs(2);

/// Listens while containers are replaced; dropping it ends that, a little later.
pub(super) struct LastWords<'a> {
    house: &'a Arc<House>,
    environment: EnvironmentId,
    over: CancellationToken,
}

impl<'a> LastWords<'a> {
    pub(super) fn new(house: &'a Arc<House>, environment: EnvironmentId) -> Self {
        Self { house, environment, over: CancellationToken::new() }
    }

    /// Saves what the container wrote so far; for one that is removed next.
    pub(super) async fn save(&self, container: &str, name: &str) {
        let sink = self.house.ports.logs.container(self.environment, name, container);
        tell(name, self.house.ports.engine.logs(container, LogRange::All, &*sink).await);
    }

    /// Saves what the container wrote so far, and what comes until it stops; for one that compose replaces.
    pub(super) fn listen(&self, container: &str, name: &str) {
        let sink = self.house.ports.logs.container(self.environment, name, container);
        let (engine, over) = (self.house.ports.engine.clone(), self.over.clone());
        let (container, name) = (container.to_owned(), name.to_owned());
        self.house.supervisor.spawn("last words", async move {
            let too_long = async {
                over.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                heard = engine.logs(&container, LogRange::UntilItStops, &*sink) => tell(&name, heard),
                () = too_long => {}
            }
        });
    }
}

/// A log that is lost stops no deployment.
fn tell(name: &str, heard: PortResult<()>) {
    if let Err(error) = heard {
        tracing::warn!(%error, container = name, "the log of a container could not be saved");
    }
}

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        self.over.cancel();
    }
}
