//! Who is with an environment at this moment.

/// What is open to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Requests whose answer was not yet sent to its end: a download, an event stream, a call of gRPC.
    pub requests: usize,
    /// `WebSocket`s and other upgraded connections.
    pub tunnels: usize,
}

impl Presence {
    pub const fn is_somebody(self) -> bool {
        self.requests + self.tunnels > 0
    }
}
