//! Watches the raw bytes of an HTTP/1 connection for what could be read in two ways (request smuggling).
//!
//! hyper mends some such requests silently: it takes one of two equal lengths, and lets chunked win over a length.
//! Here they are refused: the bytes that would complete the head are replaced by some that no parser accepts, so
//! hyper answers 400 and closes. The guard can only refuse more; it never makes hyper accept anything.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::connection::ConnectionInfo;
use super::framing::{Framing, Verdict};

/// How long a client may take for the head of a request, from its first byte.
pub(super) const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Completes no head: a zero byte is neither a header's name nor its value.
const POISON: &[u8] = b"\0\r\n\r\n";

/// The plain side of a client's connection.
pub(super) struct Guard<S> {
    stream: S,
    connection: Arc<ConnectionInfo>,
    framing: Framing,
    refused: bool,
    /// Runs while a head has begun and is not complete, from the connection's first moment on.
    head_deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Guard<S> {
    pub(super) fn new(stream: S, connection: Arc<ConnectionInfo>) -> Self {
        let head_deadline = Some(Box::pin(tokio::time::sleep(HEAD_LIMIT)));
        Self { stream, connection, framing: Framing::default(), refused: false, head_deadline }
    }

    /// Judges what was just read; returns how many of the bytes hyper may see.
    fn judge(&mut self, read: &[u8]) -> usize {
        let verdict = self.framing.advance(read);
        if self.framing.is_inside_head() {
            self.head_deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(HEAD_LIMIT)));
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

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.connection.is_tunnel() {
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
