//! What the orchestrator needs from the outside, as traits of at most eight methods.
//!
//! An adapter implements one of them; a fake in `tests/house/` another. No method is called while a database
//! transaction is open.

mod engine;
mod error;
mod git;
mod jobs;
mod outside;
mod stacks;
mod workspace;

pub use engine::{Engine, EngineWatch, NetworkRequest, Resource, ResourceLabels, VolumeRequest};
pub use error::{PortError, PortResult};
pub use git::{Git, Remote, TreeLimits};
pub use jobs::{JobEnd, JobRequest, Jobs};
pub use outside::{ArchiveParts, Archives, Clock, LogLine, LogSink, ProbeUrl, Prober, RoutePublisher};
pub use stacks::{BuildRequest, Builder, Expectation, RenderRequest, Rendered, Stacks, UpRequest};
pub use workspace::{Logs, Workspace};
