//! Secrets at rest, encrypted with age; and as files in memory, which containers see.
//!
//! The files lie in `<root>/<instance>/<environment>/of-<service>/<name>`. All folders but the last are for the
//! daemon's user alone, so that no other user of the machine gets to the files. These are readable for everybody: in a
//! container, which has the file without the way to it, the user is seldom root.

mod files;
mod key;

use std::path::{Path, PathBuf};

use age::x25519::Identity;
use async_trait::async_trait;
use tokio::task::spawn_blocking;

use crate::domain::names::{EnvironmentId, InstanceId};
use crate::ports::{PortError, PortResult, SecretFiles, Vault};

pub use files::is_in_memory;

/// A key in the data directory, and a folder for files.
pub struct AgeVault {
    key: PathBuf,
    identity: std::sync::OnceLock<Identity>,
    folder: PathBuf,
}

impl AgeVault {
    /// The key is `secrets.key` in the data directory; `root` should be in memory.
    pub fn new(data_dir: &Path, root: &Path, instance: &InstanceId) -> Self {
        let identity = std::sync::OnceLock::new();
        Self { key: data_dir.join(key::FILE), identity, folder: root.join(&instance.0) }
    }

    fn identity(&self, make: bool) -> PortResult<&Identity> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity);
        }
        let read = if make { key::read_or_make(&self.key)? } else { key::read(&self.key)? };
        Ok(self.identity.get_or_init(|| read))
    }
}

#[async_trait]
impl Vault for AgeVault {
    fn seal(&self, value: &[u8]) -> PortResult<Vec<u8>> {
        let recipient = self.identity(true)?.to_public();
        age::encrypt(&recipient, value)
            .map_err(|error| PortError::Permanent(format!("a secret cannot be encrypted: {error}")))
    }

    fn open(&self, sealed: &[u8]) -> PortResult<Vec<u8>> {
        age::decrypt(self.identity(false)?, sealed).map_err(|error| {
            let key = self.key.display();
            PortError::Permanent(format!(
                "a secret cannot be decrypted with {key}: {error}; bring back the key it was set with, or set it again"
            ))
        })
    }

    fn folder(&self, environment: EnvironmentId) -> PathBuf {
        self.folder.join(environment.to_string())
    }

    async fn place(&self, environment: EnvironmentId, files: SecretFiles) -> PortResult<()> {
        let folder = self.folder(environment);
        blocking(move || files::place(&folder, &files)).await
    }

    async fn clear(&self, environment: EnvironmentId) -> PortResult<()> {
        let folder = self.folder(environment);
        blocking(move || files::clear(&folder)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> PortResult<T> + Send + 'static) -> PortResult<T> {
    spawn_blocking(work).await.map_err(|error| PortError::Permanent(error.to_string()))?
}

#[cfg(test)]
mod tests;
