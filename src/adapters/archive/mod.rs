//! Archives: tar in zstd, written whole or not at all.
//!
//! `<id>.tar.zst`: `manifest.json` first, then documents and files, then every volume below `volumes/<key>/`, and
//! `index.json` last with the path, size and SHA-256 of each entry before it. The name exists only once everything
//! was read back and found equal.

mod channel;
mod contents;
mod entries;
mod entry;
mod files;
mod folder;
mod images;
mod index;
mod local;
mod pack;
mod place;
mod read;
mod restore;
mod unpack;
mod volume;
mod write;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::domain::environment::ArchiveRecord;
use crate::domain::names::ProjectName;
use crate::ports::{
    ArchiveParts, ArchivedVolume, Archives, Clock, ImageStore, Outgoing, PortError, PortResult, Restoring,
    VolumeFacts, Volumes,
};
pub use local::LocalVolumes;
pub use unpack::{Unpacked, unpack};

use channel::WAITING;
use folder::Folder;
use restore::Leaving;
use volume::{Content, Incoming};

/// First entry of every archive.
const MANIFEST: &str = "manifest.json";

/// Last entry of every archive.
const INDEX: &str = "index.json";

/// The images, as `docker save` packs them.
const IMAGES: &str = "images/images.tar";

/// Before the path of everything that comes from a volume.
const VOLUMES: &str = "volumes/";

/// Ending of an archive's name.
const ENDING: &str = ".tar.zst";

/// Ending while it is being written; what is found with it was left by a crash.
const UNFINISHED: &str = ".unfinished";

/// [`Archives`] in one folder.
#[derive(Clone)]
pub struct ArchiveAdapter {
    directory: PathBuf,
    clock: Arc<dyn Clock>,
    volumes: Arc<dyn Volumes>,
    images: Arc<dyn ImageStore>,
    /// Most bytes of one volume's files, holes counted.
    volume_limit: u64,
}

impl ArchiveAdapter {
    /// Makes the folder (for the daemon's user only) and removes what a crash left unfinished in it.
    pub fn open(
        directory: impl Into<PathBuf>,
        clock: Arc<dyn Clock>,
        (volumes, images): (Arc<dyn Volumes>, Arc<dyn ImageStore>),
        volume_limit: u64,
    ) -> PortResult<Self> {
        let directory = directory.into();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .and_then(|()| remove_unfinished(&directory))
            .map_err(|error| failed("cannot use", &directory, &error))?;
        Ok(Self { directory, clock, volumes, images, volume_limit })
    }

    /// Where an archive lies; refuses what is no archive id.
    pub fn path(&self, id: &str) -> PortResult<PathBuf> {
        let is_legal =
            id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_legal || id.is_empty() || id.len() > 200 || id.starts_with(['.', '-']) {
            return Err(PortError::Permanent(format!("{id:?} is not the id of an archive")));
        }
        Ok(self.directory.join(format!("{id}{ENDING}")))
    }
}

#[async_trait]
impl Archives for ArchiveAdapter {
    async fn write(&self, mut parts: ArchiveParts) -> PortResult<ArchiveRecord> {
        let path = self.path(&parts.record.id)?;
        let images = images::spool(&*self.images, &path, &parts.images).await?;
        parts.files.extend(images.iter().map(|spooled| (IMAGES.to_owned(), spooled.path().to_owned())));
        let (project, volumes) = (parts.project.clone(), parts.volumes.clone());
        let (sender, incoming) = mpsc::channel(1);
        let writing = blocking(move || {
            let finished = write::write(&path, &parts, incoming)?;
            Ok((finished, parts.record))
        });
        let (read, written) = tokio::join!(self.feed(&project, &volumes, sender), writing);
        // The first says why; the second only that the stream broke off.
        read?;
        let (finished, record) = written?;
        Ok(ArchiveRecord {
            size_bytes: finished.size,
            sha256: Some(finished.sha256),
            verified_at: Some(self.clock.now()),
            ..record
        })
    }

    async fn manifest(&self, id: &str) -> PortResult<serde_json::Value> {
        let path = self.path(id)?;
        blocking(move || read::manifest(&path)).await
    }

    async fn verify(&self, id: &str) -> PortResult<()> {
        let (path, limit) = (self.path(id)?, self.volume_limit);
        blocking(move || read::verify(&path, limit)).await
    }

    async fn remove(&self, id: &str) -> PortResult<()> {
        let path = self.path(id)?;
        blocking(move || files::remove(&path)).await
    }

    async fn ids(&self) -> PortResult<Vec<String>> {
        let directory = self.directory.clone();
        blocking(move || files::ids(&directory)).await
    }

    async fn check(&self, record: &ArchiveRecord) -> PortResult<()> {
        let path = self.path(&record.id)?;
        let Some(wanted) = record.sha256.clone() else { return self.verify(&record.id).await };
        let limit = self.volume_limit;
        blocking(move || {
            let digest = File::open(&path).and_then(index::digest_of);
            if digest.map_err(|error| failed("cannot read", &path, &error))? != wanted {
                // The thorough reader tells what is wrong with it.
                read::verify(&path, limit)?;
                let text = format!("archive: {} is not the file that drey wrote", path.display());
                return Err(PortError::Permanent(text));
            }
            read::manifest(&path).map(drop)
        })
        .await
    }

    async fn restore(&self, id: &str, what: Restoring<'_>) -> PortResult<()> {
        match what {
            Restoring::Images => images::load(&*self.images, self.path(id)?, self.volume_limit).await,
            Restoring::Volumes { project, volumes } => self.restore_volumes(id, project, volumes).await,
        }
    }

    async fn extract(&self, id: &str, path: &str, into: Outgoing) -> PortResult<()> {
        let (archive, wanted, limit) = (self.path(id)?, path.to_owned(), self.volume_limit);
        let is_found = blocking(move || {
            restore::extract(&archive, limit, &wanted, into)
                .map_err(|error| failed("cannot extract from", &archive, &error))
        });
        if is_found.await? {
            return Ok(());
        }
        Err(PortError::NotFound(format!("archive {id} has nothing at {path:?}")))
    }
}

impl ArchiveAdapter {
    async fn restore_volumes(
        &self,
        id: &str,
        project: &ProjectName,
        volumes: &[ArchivedVolume],
    ) -> PortResult<()> {
        let (path, limit) = (self.path(id)?, self.volume_limit);
        let (sender, mut leaving) = mpsc::channel::<Leaving>(1);
        let reading = blocking(move || {
            restore::send(&path, limit, &sender).map_err(|error| failed("cannot restore from", &path, &error))
        });
        let filling = async move {
            while let Some(one) = leaving.recv().await {
                let volume = volumes.iter().find(|volume| volume.key == one.key);
                self.fill(project, volume, one).await?;
            }
            Ok::<(), PortError>(())
        };
        let (filled, read) = tokio::join!(filling, reading);
        // Where filling failed, the reader only knows that nobody takes more.
        filled?;
        read
    }

    /// Gives the writer one volume after another.
    async fn feed(
        &self,
        project: &ProjectName,
        volumes: &[ArchivedVolume],
        writer: mpsc::Sender<Incoming>,
    ) -> PortResult<()> {
        for ArchivedVolume { key, name } in volumes {
            let VolumeFacts { is_tmpfs, folder } = self.volumes.look(name).await?;
            if is_tmpfs {
                let incoming = Incoming { key: key.clone(), content: Content::Tmpfs };
                // A writer that is gone says itself why.
                if writer.send(incoming).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            let (sender, chunks) = mpsc::channel(WAITING);
            let content = Content::Stream { chunks, folder, limit: self.volume_limit };
            if writer.send(Incoming { key: key.clone(), content }).await.is_err() {
                return Ok(());
            }
            if let Err(error) = self.volumes.read(project, name, sender.clone()).await {
                sender.send(Err(io::Error::other(error.to_string()))).await.unwrap_or_default();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Unpacks one volume; without a place for it, it is passed over.
    async fn fill(
        &self,
        project: &ProjectName,
        volume: Option<&ArchivedVolume>,
        mut leaving: Leaving,
    ) -> PortResult<()> {
        let Some(ArchivedVolume { name, .. }) = volume else {
            while leaving.chunks.recv().await.is_some() {}
            leaving.holes.recv().await;
            return Ok(());
        };
        self.volumes.write(project, name, leaving.chunks).await?;
        // Without them the reader broke off, and says why.
        let Some(holes) = leaving.holes.recv().await else { return Ok(()) };
        match self.volumes.look(name).await?.folder {
            Some(folder) if !holes.is_empty() => blocking(move || dig(&folder, &holes)).await,
            Some(_) | None => Ok(()),
        }
    }
}

fn dig(folder: &Path, holes: &[folder::Hole]) -> PortResult<()> {
    let dug = Folder::open(folder).and_then(|opened| holes.iter().try_for_each(|hole| opened.dig(hole)));
    dug.map_err(|error| failed("cannot make the holes again in", folder, &error))
}

fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(UNFINISHED) {
            tracing::warn!(archive.path = %path.display(), "removing an archive that was not finished");
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Disks fill and are emptied again: worth another try.
fn failed(what: &str, path: &Path, error: &io::Error) -> PortError {
    let text = format!("archive: {what} {}: {error}", path.display());
    if error.kind() == io::ErrorKind::NotFound {
        return PortError::NotFound(text);
    }
    // What the system did not say is said of the archive's own bytes.
    if error.raw_os_error().is_none() { PortError::Permanent(text) } else { PortError::Transient(text) }
}

async fn blocking<T, F>(work: F) -> PortResult<T>
where
    T: Send + 'static,
    F: FnOnce() -> PortResult<T> + Send + 'static,
{
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| PortError::Transient(format!("archive: the work broke off: {error}")))?
}

#[cfg(test)]
mod tests;
