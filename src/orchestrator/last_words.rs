//! What containers write until they are replaced, taken down beside the work.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::names::EnvironmentId;
use crate::ports::{LogLine, LogRange, LogSink, PortResult};

use super::house::House;

/// So many lines are taken down at once. The rest of a long log waits until the work is over, which needs the processor
/// more: the engine has the log open by then, and goes on reading it after the container is gone.
const AT_ONCE: u64 = 500;
/// After the work it is listened until nothing comes for so long: what was replaced has said all by then, and what goes on
/// running keeps its own log.
const SILENCE: Duration = Duration::from_secs(2);
/// How long after the work is listened at most; what goes on running may never be silent.
const LIMIT: Duration = Duration::from_secs(60);

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
        let sink = Counting::new(self.house.ports.logs.container(self.environment, name, container));
        let (engine, over) = (self.house.ports.engine.clone(), self.over.clone());
        let (container, name) = (container.to_owned(), name.to_owned());
        self.house.supervisor.spawn("last words", async move {
            let hearing = engine.logs(&container, LogRange::UntilItStops, &sink);
            if let Some(heard) = hear(hearing, &sink, &over).await {
                tell(&name, heard);
            }
        });
    }
}

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

/// How the hearing ended; `None` where the container goes on.
async fn hear(
    mut hearing: impl Future<Output = PortResult<()>> + Unpin,
    sink: &Counting,
    over: &CancellationToken,
) -> Option<PortResult<()>> {
    tokio::select! {
        biased;
        heard = &mut hearing => return Some(heard),
        () = sink.has_more_than(AT_ONCE) => {}
        () = over.cancelled() => {}
    }
    over.cancelled().await;
    let until_silence = async {
        loop {
            let before = sink.count();
            match tokio::time::timeout(SILENCE, &mut hearing).await {
                Ok(heard) => return Some(heard),
                Err(_) if sink.count() == before => return None,
                Err(_) => {}
            }
        }
    };
    tokio::time::timeout(LIMIT, until_silence).await.unwrap_or_default()
}

/// A log that is lost stops no deployment.
fn tell(name: &str, heard: PortResult<()>) {
    if let Err(error) = heard {
        tracing::warn!(%error, container = name, "the log of a container could not be saved");
    }
}

/// Passes lines on, and counts them.
struct Counting {
    sink: Arc<dyn LogSink>,
    lines: watch::Sender<u64>,
}

impl Counting {
    fn new(sink: Arc<dyn LogSink>) -> Self {
        Self { sink, lines: watch::Sender::default() }
    }

    fn count(&self) -> u64 {
        *self.lines.borrow()
    }

    async fn has_more_than(&self, lines: u64) {
        // The sender is our own: it is there as long as we are.
        self.lines.subscribe().wait_for(|count| *count > lines).await.ok();
    }
}

impl LogSink for Counting {
    fn line(&self, line: LogLine) {
        self.sink.line(line);
        self.lines.send_modify(|lines| *lines += 1);
    }
}
