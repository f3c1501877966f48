//! Watches the raw bytes of a connection, while it is HTTP/1, for what could be read in two ways (request smuggling).
//!
//! hyper mends some such requests silently: it takes one of two equal lengths, and lets chunked win over a length.
//! Here they are refused: the bytes that would complete the head are replaced by some that no parser accepts, so
//! hyper answers 400 and closes. The guard can only refuse more; it never makes hyper accept anything.
//!
//! HTTP/2 has one reading only and passes untouched. What decides is what decides for hyper: what was agreed upon in the
//! TLS handshake, and in plain the connection's first bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::connection::ConnectionInfo;
use super::framing::{Framing, Verdict};

/// Completes no head: a zero byte is neither a header's name nor its value.
const POISON: &[u8] = b"\0\r\n\r\n";

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// All bytes so far, this many, are the beginning of what every HTTP/2 connection begins with.
    Undecided(usize),
    Http1,
    Http2,
}

/// The plain side of a client's connection.
pub(super) struct Guard<S> {
    stream: S,
    connection: Arc<ConnectionInfo>,
    protocol: Protocol,
    framing: Framing,
    refused: bool,
    head_limit: Duration,
    /// Runs while a head has begun and is not complete, from the connection's first moment on.
    head_deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Guard<S> {
    /// `head_limit`: how long a client may take for the head of a request, from its first byte.
    pub(super) fn new(
        stream: S,
        protocol: Protocol,
        connection: Arc<ConnectionInfo>,
        head_limit: Duration,
    ) -> Self {
        let head_deadline = Some(Box::pin(tokio::time::sleep(head_limit)));
        Self {
            stream,
            connection,
            protocol,
            framing: Framing::default(),
            refused: false,
            head_limit,
            head_deadline,
        }
    }

    /// Judges what was just read; returns how many of the bytes hyper may see.
    fn judge(&mut self, read: &[u8]) -> usize {
        self.protocol = self.protocol.after(read);
        match self.protocol {
            Protocol::Http2 => {
                self.head_deadline = None;
                return read.len();
            }
            // The beginning of the preface is nothing that the framing refuses; the deadline goes on.
            Protocol::Undecided(_) => {
                self.framing.advance(read);
                return read.len();
            }
            Protocol::Http1 => {}
        }
        let verdict = self.framing.advance(read);
        if self.framing.is_inside_head() {
            let limit = self.head_limit;
            self.head_deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        } else {
            self.head_deadline = None;
        }
        match verdict {
            Verdict::Fine => read.len(),
            Verdict::Refused { after } => {
                self.refused = true;
                after
            }
        }
    }
}

impl Protocol {
    fn after(self, read: &[u8]) -> Self {
        let Self::Undecided(seen) = self else { return self };
        let missing = PREFACE.get(seen..).unwrap_or_default();
        if read.starts_with(missing) {
            Self::Http2
        } else if missing.starts_with(read) {
            Self::Undecided(seen + read.len())
        } else {
            Self::Http1
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.protocol == Protocol::Http2 || this.connection.is_tunnel() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        if this.refused {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(context, buffer) else {
            if let Some(deadline) = &mut this.head_deadline {
                ready!(deadline.as_mut().poll(context));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            return Poll::Pending;
        };
        result?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        let allowed = this.judge(read);
        if this.refused {
            buffer.set_filled(before + allowed);
            let room = buffer.remaining().min(POISON.len());
            buffer.put_slice(POISON.get(..room).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
