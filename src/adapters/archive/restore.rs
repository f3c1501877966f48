//! Volumes out of an archive: each as the tar stream that the engine unpacks, and the holes that belong back.

use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use tar::Builder;
use tokio::sync::mpsc;

use super::channel::{ChannelWriter, WAITING};
use super::entry::{Kind, Meta};
use super::folder::{Hole, Zeros};
use super::read;
use crate::ports::{Outgoing, VOLUME_ROOT};

/// A volume on its way out.
pub(super) struct Leaving {
    pub(super) key: String,
    pub(super) chunks: mpsc::Receiver<Bytes>,
    /// Comes after the last chunk.
    pub(super) holes: mpsc::Receiver<Vec<Hole>>,
}

/// Sends each volume of the archive, one after another.
pub(super) fn send(archive: &Path, volume_limit: u64, out: &mpsc::Sender<Leaving>) -> io::Result<()> {
    let mut open: Option<Sending> = None;
    read::walk(archive, volume_limit, &mut |meta, content| {
        let Some(key) = read::volume_of(&meta.path) else { return Ok(()) };
        if open.as_ref().is_none_or(|sending| sending.key != key) {
            if let Some(done) = open.take() {
                done.finish()?;
            }
            open = Some(Sending::begin(key, out)?);
        }
        open.as_mut().map_or(Ok(()), |sending| sending.entry(meta, content))
    })?;
    open.map_or(Ok(()), Sending::finish)
}

struct Sending {
    key: Vec<u8>,
    tar: Builder<ChannelWriter>,
    holes: Vec<Hole>,
    told: mpsc::Sender<Vec<Hole>>,
}

impl Sending {
    fn begin(key: &[u8], out: &mpsc::Sender<Leaving>) -> io::Result<Self> {
        let (sender, chunks) = mpsc::channel(WAITING);
        let (told, holes) = mpsc::channel(1);
        let leaving = Leaving { key: String::from_utf8_lossy(key).into_owned(), chunks, holes };
        out.blocking_send(leaving).map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let writer = ChannelWriter::new(move |chunk| sender.blocking_send(chunk).is_ok());
        Ok(Self { key: key.to_vec(), tar: Builder::new(writer), holes: Vec::new(), told })
    }

    fn entry(&mut self, meta: &Meta, content: &mut dyn Read) -> io::Result<()> {
        let inside = self.inside(&meta.path);
        let moved = |inside: &[u8]| match inside {
            b"" => VOLUME_ROOT.as_bytes().to_vec(),
            rest => [VOLUME_ROOT.as_bytes(), b"/", rest].concat(),
        };
        let link =
            if meta.kind == Kind::Hardlink { moved(&self.inside(&meta.link)) } else { meta.link.clone() };
        let outgoing = Meta { path: moved(&inside), link, ..meta.clone() };
        if !meta.has_holes {
            return outgoing.append(&mut self.tar, content);
        }
        let mut watched = Watched { inner: content, zeros: Zeros::default() };
        outgoing.append(&mut self.tar, &mut watched)?;
        watched.zeros.finish();
        let holes = watched.zeros.found.into_iter();
        self.holes.extend(holes.map(|(offset, length)| Hole { path: inside.clone(), offset, length }));
        Ok(())
    }

    /// The path below the volume's root; empty for the root itself.
    fn inside(&self, path: &[u8]) -> Vec<u8> {
        let root = super::VOLUMES.len() + self.key.len();
        path.get(root + 1..).unwrap_or_default().to_vec()
    }

    fn finish(self) -> io::Result<()> {
        let mut writer = self.tar.into_inner()?;
        io::Write::flush(&mut writer)?;
        drop(writer);
        // Nobody there: the copy failed, and says so itself.
        self.told.blocking_send(self.holes).map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// Passes bytes on and looks for zeros.
struct Watched<'a> {
    inner: &'a mut dyn Read,
    zeros: Zeros,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.zeros.push(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Sends what lies at `wanted` and below as a tar whose paths begin with the last part of `wanted`.
pub(super) fn extract(archive: &Path, volume_limit: u64, wanted: &str, out: Outgoing) -> io::Result<bool> {
    let wanted = wanted.trim_end_matches('/').as_bytes();
    let parent = wanted.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let is_wanted =
        |path: &[u8]| path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
    let mut tar = Builder::new(ChannelWriter::new(move |chunk| out.blocking_send(Ok(chunk)).is_ok()));
    let mut is_found = false;
    read::walk(archive, volume_limit, &mut |meta, content| {
        if !is_wanted(&meta.path) {
            return Ok(());
        }
        is_found = true;
        let cut = |path: &[u8]| path.get(parent..).unwrap_or_default().to_vec();
        if meta.kind == Kind::Hardlink && !is_wanted(&meta.link) {
            return Err(io::Error::other(format!(
                "{:?} is another name of {:?}, which is not asked for: extract that, or the folder of both",
                read::shown(&meta.path),
                read::shown(&meta.link)
            )));
        }
        let link = if meta.kind == Kind::Hardlink { cut(&meta.link) } else { meta.link.clone() };
        Meta { path: cut(&meta.path), link, ..meta.clone() }.append(&mut tar, content)
    })?;
    // Where nothing was found, nothing is sent, not even the end of a tar.
    if is_found {
        io::Write::flush(&mut tar.into_inner()?)?;
    }
    Ok(is_found)
}
