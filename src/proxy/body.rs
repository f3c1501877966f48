//! The body of a request on its way to the container.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// What the client sends, passed on as it comes; nothing is gathered.
#[derive(Debug)]
pub(super) enum RequestBody {
    None,
    Streamed(Incoming, Upload),
}

/// How far the body has come, also when it has gone on its way; nothing where there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Upload(Option<Arc<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    failed: AtomicBool,
    received: AtomicU64,
    waits: AtomicBool,
}

impl Upload {
    /// Whether what the client sent is malformed, or ended too early.
    pub(super) fn has_failed(&self) -> bool {
        self.0.as_ref().is_some_and(|progress| progress.failed.load(Ordering::Acquire))
    }

    /// Bytes so far.
    pub(super) fn received(&self) -> u64 {
        self.0.as_ref().map_or(0, |progress| progress.received.load(Ordering::Relaxed))
    }

    /// Whether the container would take more than there is.
    pub(super) fn waits_for_client(&self) -> bool {
        self.0.as_ref().is_some_and(|progress| progress.waits.load(Ordering::Relaxed))
    }

    fn notes(&self, polled: &Poll<Option<Result<Frame<Bytes>, hyper::Error>>>) {
        let Some(progress) = &self.0 else { return };
        progress.waits.store(polled.is_pending(), Ordering::Relaxed);
        let Poll::Ready(Some(frame)) = polled else { return };
        match frame {
            Ok(frame) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                progress.received.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(_) => progress.failed.store(true, Ordering::Release),
        }
    }
}

impl RequestBody {
    pub(super) fn from_client(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            return Self::None;
        }
        Self::Streamed(incoming, Upload(Some(Arc::default())))
    }

    /// Tells of it, also when the body has gone on its way.
    pub(super) fn upload(&self) -> Upload {
        match self {
            Self::None => Upload::default(),
            Self::Streamed(_, upload) => upload.clone(),
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
            Self::Streamed(incoming, upload) => {
                let polled = Pin::new(incoming).poll_frame(context);
                upload.notes(&polled);
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
