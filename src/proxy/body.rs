//! The body of a request on its way to the container.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// What the client sends, passed on as it comes; nothing is gathered.
#[derive(Debug)]
pub(super) enum RequestBody {
    None,
    Streamed(Incoming, Failed),
}

/// Whether what the client sends is malformed, or ended too early.
#[derive(Clone, Debug, Default)]
pub(super) struct Failed(Arc<AtomicBool>);

impl Failed {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl RequestBody {
    pub(super) fn from_client(incoming: Incoming) -> Self {
        if incoming.is_end_stream() { Self::None } else { Self::Streamed(incoming, Failed::default()) }
    }

    /// Tells whether the client's side failed, also when the body has gone on its way.
    pub(super) fn failed(&self) -> Failed {
        match self {
            Self::None => Failed::default(),
            Self::Streamed(_, failed) => failed.clone(),
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
            Self::Streamed(incoming, failed) => {
                let polled = Pin::new(incoming).poll_frame(context);
                if matches!(polled, Poll::Ready(Some(Err(_)))) {
                    failed.0.store(true, Ordering::Release);
                }
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
