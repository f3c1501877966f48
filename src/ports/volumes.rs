//! What lies in volumes, as tar streams.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::PortResult;
use crate::domain::names::ProjectName;

/// First part of every path in the stream of a volume: its root.
pub const VOLUME_ROOT: &str = "volume";

/// Reads and fills volumes, whether or not a container uses them. Works with an engine on another machine.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// What is known of a volume before it is read.
    async fn look(&self, volume: &str) -> PortResult<VolumeFacts>;
    /// Sends all that lies in the volume as one tar stream and returns when the last byte was taken. Owners, modes,
    /// links, times to the second and `security.capability` are in it; sockets and holes are not.
    /// A receiver that is gone ends it without an error.
    async fn read(&self, project: &ProjectName, volume: &str, into: Outgoing) -> PortResult<()>;
    /// Unpacks a tar stream into the volume; its paths begin with [`VOLUME_ROOT`]. Ends with the channel.
    async fn write(&self, project: &ProjectName, volume: &str, from: mpsc::Receiver<Bytes>)
    -> PortResult<()>;
    /// Removes what a crash left of the above.
    async fn sweep(&self) -> PortResult<()>;
}

/// Takes the chunks of a stream; an error that is sent says that it broke off.
pub type Outgoing = mpsc::Sender<io::Result<Bytes>>;

/// What is known of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeFacts {
    /// It lives in memory and is gone with its last container.
    pub is_tmpfs: bool,
    /// Its folder, where this daemon reaches it itself: what a tar stream does not tell is looked up there.
    pub folder: Option<PathBuf>,
}
