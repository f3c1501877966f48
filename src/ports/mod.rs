//! What the orchestrator needs from the outside, as traits of at most eight methods.
//!
//! An adapter implements one of them; a fake in `tests/house/` another. No method is called while a database
//! transaction is open.

mod access_log;
mod challenge;
mod changes;
mod confinements;
mod directory;
mod disks;
mod engine;
mod error;
mod failpoint;
mod foreign;
mod forge;
mod git;
mod images;
mod isolation;
mod jobs;
pub mod meters;
mod outside;
mod outsiders;
mod power;
mod provider;
mod stacks;
pub mod traffic;
mod vault;
mod volumes;
mod workspace;

pub use access_log::{AccessLog, AccessRecord, LogMark};
pub use challenge::DnsRecords;
pub use changes::{CHANGED_PATHS_AT_MOST, ChangedPaths, Changes, MESSAGE_BYTES, Merged};
pub use confinements::Confinements;
pub use directory::Catalogue;
pub use disks::{Disks, Folders, Stock};
pub use engine::{Engine, EngineWatch, LogRange, NetworkRequest, Resource, ResourceLabels, VolumeRequest};
pub use error::{PortError, PortResult, is_no_room};
pub use failpoint::{FAILPOINTS, failpoint, failpoint_after, failpoint_in};
pub use foreign::{Endpoint, Foreign, ForeignContainer, Mount, Rested};
pub use forge::{ForgeApi, ForgeError, ForgeResult, Until};
pub use git::{Ancestry, Git, KeptCommits, Remote, TreeLimits, TreeNotes};
pub use images::{ByteStream, ImageStore};
pub use isolation::{BuildGroup, Cgroups, Firewall};
pub use jobs::{JobEnd, JobRequest, Jobs};
pub use outside::{
    ARCHIVE_FORMAT, ArchiveParts, ArchivedVolume, Archives, Clock, LogLine, LogSink, ProbeUrl, Prober,
    Programs, Restoring, RoutePublisher, Visitors,
};
pub use outsiders::Outsiders;
pub use power::Power;
pub use provider::{Embedded, Provider};
pub use stacks::{BuildRequest, Builder, Expectation, RenderRequest, Rendered, Stacks, UpRequest};
pub use vault::{Redactor, SecretFiles, Vault};
pub use volumes::{Outgoing, VOLUME_ROOT, VolumeFacts, Volumes};
pub use workspace::{Logs, Workspace};
