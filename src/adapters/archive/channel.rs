//! Bytes between the asynchronous engine and the threads that pack: a channel read and written as a file.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// Chunks that wait in a channel: a few large ones keep both sides busy.
pub(super) const WAITING: usize = 16;
/// Size of the chunks that are sent: small enough that the allocator has it at hand.
const CHUNK: usize = 64 * 1024;

/// Reads ahead in a thread of its own, for readers that have work of their own. An error comes in its place.
pub(super) struct ReadAhead {
    chunks: std::sync::mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl ReadAhead {
    pub(super) fn new(mut inner: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = std::sync::mpsc::sync_channel(WAITING);
        // Ends with its input, or when nobody takes its chunks any more.
        std::thread::spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK];
                let read = inner.read(&mut chunk);
                let is_last = !matches!(read, Ok(length) if length > 0);
                let read = read.map(|length| Bytes::from(chunk).slice(..length));
                if sender.send(read).is_err() || is_last {
                    return;
                }
            }
        });
        Self { chunks, rest: Bytes::new() }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            match self.chunks.recv() {
                Ok(chunk) => self.rest = chunk?,
                Err(_ended) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        let part = self.rest.split_to(length);
        buffer.get_mut(..length).unwrap_or_default().copy_from_slice(&part);
        Ok(length)
    }
}

/// Reads what is sent; a sent error ends it. Only for threads that may block.
pub(super) struct ChannelReader {
    channel: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl ChannelReader {
    pub(super) fn new(channel: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { channel, rest: Bytes::new() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.channel.blocking_recv() {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        let part = self.rest.split_to(length);
        buffer.get_mut(..length).unwrap_or_default().copy_from_slice(&part);
        Ok(length)
    }
}

/// Sends what is written, in chunks. Only for threads that may block.
pub(super) struct ChannelWriter {
    /// Whether somebody took the chunk.
    send: Box<dyn FnMut(Bytes) -> bool>,
    chunk: BytesMut,
}

impl ChannelWriter {
    pub(super) fn new(send: impl FnMut(Bytes) -> bool + 'static) -> Self {
        Self { send: Box::new(send), chunk: BytesMut::with_capacity(CHUNK) }
    }

    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.chunk, BytesMut::with_capacity(CHUNK)).freeze();
        if chunk.is_empty() || (self.send)(chunk) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes it any more"))
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..length).unwrap_or_default());
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ahead_changes_nothing() {
        let bytes: Vec<u8> = (0..=255).cycle().take(CHUNK * 3 + 5).collect();
        let mut read = Vec::new();
        ReadAhead::new(io::Cursor::new(bytes.clone())).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broke off"))
            }
        }
        let error = ReadAhead::new(Broken).read_to_end(&mut read).unwrap_err();
        assert_eq!(error.to_string(), "broke off");
    }

    #[test]
    fn bytes_go_through_in_order_and_errors_too() {
        let (sender, receiver) = mpsc::channel(1000);
        let mut writer = ChannelWriter::new(move |chunk| sender.blocking_send(chunk).is_ok());
        let bytes: Vec<u8> = (0..=255).cycle().take(CHUNK * 2 + 77).collect();
        writer.write_all(&bytes).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let (again, reader) = mpsc::channel(1000);
        let mut receiver = receiver;
        while let Some(chunk) = receiver.blocking_recv() {
            again.blocking_send(Ok(chunk)).unwrap();
        }
        again.blocking_send(Err(io::Error::other("broke off"))).unwrap();
        drop(again);
        let mut reader = ChannelReader::new(reader);
        let mut read = vec![0; bytes.len()];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(read, bytes);
        assert_eq!(reader.read(&mut [0]).unwrap_err().to_string(), "broke off");

        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let mut writer = ChannelWriter::new(move |chunk| sender.blocking_send(chunk).is_ok());
        writer.write_all(b"x").unwrap();
        assert_eq!(writer.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
