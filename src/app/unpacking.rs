//! A part of an archive that comes over the line, onto this machine's disk.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::{Buf, Bytes};

use crate::adapters::archive::{Unpacked, unpack};

/// Chunks that wait for the disk.
const WAITING: usize = 8;

/// A thread that unpacks what is pushed.
pub struct Unpacking {
    chunks: mpsc::SyncSender<Bytes>,
    thread: JoinHandle<io::Result<Unpacked>>,
}

impl Unpacking {
    pub fn start(destination: PathBuf) -> Self {
        let (chunks, incoming) = mpsc::sync_channel(WAITING);
        let reader = Incoming { incoming, rest: Bytes::new() };
        let thread = std::thread::spawn(move || unpack(reader, &destination));
        Self { chunks, thread }
    }

    /// Whether more is wanted.
    pub fn push(&self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).is_ok()
    }

    /// # Errors
    /// As [`unpack`] says.
    pub fn finish(self) -> io::Result<Unpacked> {
        drop(self.chunks);
        self.thread.join().map_err(|_panic| io::Error::other("unpacking broke off"))?
    }
}

struct Incoming {
    incoming: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl io::Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.incoming.recv() {
                Ok(chunk) => self.rest = chunk,
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
