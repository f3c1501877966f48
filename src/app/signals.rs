//! What the system asks of the daemon.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// Signals that came and were not dealt with yet; of one kind that came several times one is left.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on signals are kept.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next: true when the configuration is to be read again, false when the daemon is to end.
    /// `changed` tells of it as a signal does.
    pub(super) async fn ask_to_go_on(&mut self, changed: &Notify) -> bool {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hangup.recv() => true,
            () = changed.notified() => true,
        }
    }

    /// Waits for the next that wants an end.
    pub(super) async fn ask_to_end(&mut self) {
        let never = Notify::new();
        while self.ask_to_go_on(&never).await {}
    }
}
