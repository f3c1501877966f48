//! The body of a request on its way to the container.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// What the client sends, passed on as it comes; nothing is gathered.
#[derive(Debug)]
pub(super) enum RequestBody {
    None,
    Streamed(Incoming),
}

impl RequestBody {
    pub(super) fn from_client(incoming: Incoming) -> Self {
        if incoming.is_end_stream() { Self::None } else { Self::Streamed(incoming) }
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
            Self::Streamed(incoming) => Pin::new(incoming).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Streamed(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Streamed(incoming) => incoming.size_hint(),
        }
    }
}
