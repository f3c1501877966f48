//! Volumes into an archive: the engine's tar stream, each path moved below `volumes/<key>`.

use std::io::{self, Read};
use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::channel::ChannelReader;
use super::contents::Contents;
use super::entry::{Kind, Meta, Unfit, broken};
use super::folder::Folder;
use super::read::shown;
use crate::ports::{VOLUME_ROOT, failpoint};

/// A volume that is to go into the archive.
pub(super) struct Incoming {
    /// Its key in the compose file.
    pub(super) key: String,
    pub(super) content: Content,
}

pub(super) enum Content {
    /// In memory only: named, not copied.
    Tmpfs,
    Stream {
        chunks: mpsc::Receiver<io::Result<Bytes>>,
        /// Where this daemon reaches the volume itself.
        folder: Option<PathBuf>,
        /// Most bytes of all files together, holes counted.
        limit: u64,
    },
}

pub(super) fn take_in(contents: &mut Contents, incoming: Incoming) -> io::Result<()> {
    let Incoming { key, content } = incoming;
    match content {
        Content::Tmpfs => {
            contents.leave_out(format!("{}{key}", super::VOLUMES), "tmpfs volume");
            Ok(())
        }
        Content::Stream { chunks, folder, limit } => {
            let folder = folder.as_deref().map(Folder::open).transpose()?;
            let mut stream = tar::Archive::new(ChannelReader::new(chunks));
            let mut taking = Taking { contents, key: &key, folder: folder.as_ref(), left: limit, limit };
            for entry in stream.entries()? {
                taking.entry(&mut entry?)?;
                failpoint("archive.half_written");
            }
            // What follows the end of the tar is taken too, else the sender would think that nobody listens.
            io::copy(&mut stream.into_inner(), &mut io::sink())?;
            for (path, what) in folder.iter().flat_map(Folder::left_out) {
                contents.leave_out(format!("{}{key}/{path}", super::VOLUMES), what);
            }
            Ok(())
        }
    }
}

struct Taking<'a> {
    contents: &'a mut Contents,
    key: &'a str,
    folder: Option<&'a Folder>,
    left: u64,
    limit: u64,
}

impl Taking<'_> {
    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        let mut meta = match Meta::read(entry) {
            Ok(meta) => meta,
            Err(Unfit::Device) => {
                let path = self.moved(&entry.path_bytes())?;
                // Where the folder is reached, it tells of all that is left out.
                if self.folder.is_none() {
                    self.contents.leave_out(shown(&path), "device");
                }
                return Ok(());
            }
            Err(Unfit::Broken(error)) => return Err(error),
        };
        self.left = self.left.checked_sub(meta.size).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!(
                    "volume {} holds more than {} bytes, holes counted ([archive] max_volume)",
                    self.key, self.limit
                ),
            )
        })?;
        meta.has_holes |=
            meta.size > 0 && self.folder.is_some_and(|folder| folder.has_holes(inside(&meta.path)));
        meta.path = self.moved(&meta.path)?;
        if meta.kind == Kind::Hardlink {
            meta.link = self.moved(&meta.link)?;
        }
        self.contents.entry(&meta, entry)
    }

    /// From the stream's root to the volume's place in the archive.
    fn moved(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let rest = path.strip_prefix(VOLUME_ROOT.as_bytes());
        let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
        let rest = rest.ok_or_else(|| broken(&format!("gets a stray entry {:?}", shown(path))))?;
        Ok([super::VOLUMES.as_bytes(), self.key.as_bytes(), rest].concat())
    }
}

/// The path below the stream's root.
fn inside(path: &[u8]) -> &[u8] {
    path.strip_prefix(VOLUME_ROOT.as_bytes()).and_then(|rest| rest.strip_prefix(b"/")).unwrap_or_default()
}
