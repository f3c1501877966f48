//! How a proxy that drey drives stands: what serves there, what was refused, and why.

use serde::Serialize;

use super::time::Timestamp;

/// What `drey proxy status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProviderStatus {
    /// As `proxy.provider` names it.
    pub provider: String,
    pub state: ProviderState,
    /// Mark of the configuration that serves; none where none was confirmed yet.
    pub generation: Option<String>,
    /// When that was confirmed.
    pub applied_at: Option<Timestamp>,
    /// Milliseconds from the newest change until it served.
    pub last_apply_ms: Option<u64>,
    /// Hosts that lead straight to containers; all others lead to the gate.
    pub direct: usize,
    /// Changes that the proxy took up by reading its configuration again, since the daemon began.
    pub reloads: u64,
    /// Changes that it took up while it ran, since the daemon began.
    pub adjustments: u64,
    /// Changes that did not come into force at once, since the daemon began.
    pub failures: u64,
    /// Why the newest routes are not in force; none where they are.
    pub error: Option<String>,
    pub failing_since: Option<Timestamp>,
    /// Why it is only believed that the generation serves; none where the proxy tells so.
    pub assumed: Option<String>,
    pub quarantined: Vec<Quarantined>,
    /// Where it runs in a container.
    pub container: Option<ProviderContainer>,
}

/// The container of a proxy, as it was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProviderContainer {
    pub name: String,
    /// `running`, `paused`, `restarting`, `stopped` or `absent`.
    pub state: String,
    /// Networks of environments that it is on.
    pub joined: Vec<String>,
}

/// Where the newest routes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// No routes were told yet.
    #[default]
    Waiting,
    /// In force.
    Serving,
    /// Not in force: what was before serves on, and it is tried again.
    Failing,
}

impl ProviderState {
    /// As in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Serving => "serving",
            Self::Failing => "failing",
        }
    }
}

/// An environment whose routes the proxy refuses, or whose containers it does not reach. Its hosts lead to the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// `REPO/BRANCH`.
    pub environment: String,
    /// The proxy's own words, or the engine's.
    pub reason: String,
}

/// One file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderFile {
    /// Where it is written.
    pub path: String,
    pub content: String,
}
