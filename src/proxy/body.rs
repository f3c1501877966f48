//! The body of a request on its way to the container.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// What the client sends, passed on as it comes; nothing is gathered.
#[derive(Debug)]
pub(super) enum RequestBody {
    None,
    Streamed(Incoming, Sending),
}

/// How far what the client sends has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Sending(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    failed: AtomicBool,
    frames: AtomicUsize,
    waits: AtomicBool,
}

impl Sending {
    /// Whether it is malformed, or ended too early.
    pub(super) fn failed(&self) -> bool {
        self.0.failed.load(Ordering::Acquire)
    }

    /// Pieces that were passed on.
    pub(super) fn frames(&self) -> usize {
        self.0.frames.load(Ordering::Relaxed)
    }

    /// Whether the container would take more than there is.
    pub(super) fn waits_for_client(&self) -> bool {
        self.0.waits.load(Ordering::Relaxed)
    }

    fn polled<T, E>(&self, polled: &Poll<Option<Result<T, E>>>) {
        self.0.waits.store(polled.is_pending(), Ordering::Relaxed);
        match polled {
            Poll::Ready(Some(Err(_))) => self.0.failed.store(true, Ordering::Release),
            Poll::Ready(Some(Ok(_))) => {
                self.0.frames.fetch_add(1, Ordering::Relaxed);
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
    }
}

impl RequestBody {
    pub(super) fn from_client(incoming: Incoming) -> Self {
        if incoming.is_end_stream() { Self::None } else { Self::Streamed(incoming, Sending::default()) }
    }

    /// Tells how far it has come, also when the body has gone on its way.
    pub(super) fn sending(&self) -> Sending {
        match self {
            Self::None => Sending::default(),
            Self::Streamed(_, sending) => sending.clone(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::None => Poll::Ready(None),
            Self::Streamed(incoming, sending) => {
                let polled = Pin::new(incoming).poll_frame(context);
                sending.polled(&polled);
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Streamed(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Streamed(incoming, _) => incoming.size_hint(),
        }
    }
}
