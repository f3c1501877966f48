//! The answer to a client, and what is given back when it was sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::account::Account;
use super::body::Upload;
use super::connection::OpenRequest;
use super::cut::{Broken, Cut};
use super::pool::Lease;
use super::standing::Busy;
use super::visits::Visit;

/// The body of an answer: the proxy's own words, or what the container sends, passed on as it comes.
pub(super) struct AnswerBody {
    content: Content,
    /// Returned when the container's answer has come to its end; dropped, and with it closed, before.
    lease: Option<Lease>,
    /// The request counts as open for as long.
    open: Option<OpenRequest>,
    /// When the container was asked, and what it gets.
    asked: Option<(Instant, Upload)>,
    account: Option<Box<Account>>,
    /// And as a visit to the environment.
    visit: Option<Visit>,
    /// What ends it when its container is frozen.
    cut: Option<Cut>,
    /// So does the container's share of the work.
    _busy: Option<Busy>,
}

enum Content {
    Whole(Option<Bytes>),
    Streamed(Incoming),
    Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl AnswerBody {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty());
        Self::new(Content::Whole(bytes), None)
    }

    pub(super) fn streamed(incoming: Incoming, lease: Option<Lease>) -> Self {
        let mut body = Self::new(Content::Streamed(incoming), lease);
        if body.is_end_stream() {
            body.ended();
        }
        body
    }

    fn new(content: Content, lease: Option<Lease>) -> Self {
        Self { content, lease, open: None, visit: None, asked: None, account: None, cut: None, _busy: None }
    }

    /// A container answered this, or failed to, having been asked then.
    #[must_use]
    pub(super) fn asked(mut self, asked: Option<(Instant, Upload)>) -> Self {
        self.asked = asked;
        self
    }

    /// What [`AnswerBody::asked`] was told.
    pub(super) fn take_asked(&mut self) -> Option<(Instant, Upload)> {
        self.asked.take()
    }

    /// Its bytes are counted there, and its end ends the account.
    #[must_use]
    pub(super) fn accounted(mut self, account: Box<Account>) -> Self {
        self.account = Some(account);
        self
    }

    fn sends(&mut self, frame: &Frame<Bytes>) {
        if let (Some(account), Some(data)) = (&mut self.account, frame.data_ref()) {
            account.sends(data.len());
        }
    }

    /// What the proxy tells as it happens.
    pub(super) fn events(events: Pin<Box<dyn Stream<Item = Bytes> + Send>>) -> Self {
        Self::new(Content::Events(events), None)
    }

    #[must_use]
    pub(super) fn visited(mut self, visit: Option<Visit>) -> Self {
        self.visit = visit;
        self
    }

    #[must_use]
    pub(super) fn counted(mut self, open: OpenRequest) -> Self {
        self.open = Some(open);
        self
    }

    /// It ends when its container is frozen.
    #[must_use]
    pub(super) fn until(mut self, cut: Cut) -> Self {
        self.cut = Some(cut);
        self
    }

    #[must_use]
    pub(super) fn occupying(mut self, busy: Option<Busy>) -> Self {
        self._busy = busy;
        self
    }

    fn ended(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let polled = match &mut this.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Events(events) => {
                let next = events.as_mut().poll_next(context);
                next.map(|event| event.map(|event| Ok(Frame::data(event))))
            }
            Content::Streamed(incoming) => {
                let polled = match &mut this.lease {
                    Some(lease) => {
                        lease.drive(context, |context| Pin::new(&mut *incoming).poll_frame(context))
                    }
                    None => Pin::new(incoming).poll_frame(context),
                };
                match (polled, &mut this.cut) {
                    (Poll::Pending, Some(cut)) => {
                        cut.poll_over(context).map(|()| Some(Err(Broken::LaidDown)))
                    }
                    (polled, _) => polled.map_err(Broken::from),
                }
            }
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.sends(frame);
        }
        if matches!(polled, Poll::Ready(None)) || (polled.is_ready() && this.is_end_stream()) {
            this.ended();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Streamed(incoming) => incoming.is_end_stream(),
            Content::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Streamed(incoming) => incoming.size_hint(),
            Content::Events(_) => SizeHint::default(),
        }
    }
}

/// A short answer of the proxy's own, in plain text.
pub(super) fn text(status: StatusCode, message: &str) -> Response<AnswerBody> {
    with_content(status, HeaderValue::from_static("text/plain; charset=utf-8"), format!("{message}\n"))
}

/// An answer of the proxy's own.
pub(super) fn with_content(
    status: StatusCode,
    content_type: HeaderValue,
    content: impl Into<Bytes>,
) -> Response<AnswerBody> {
    let content = content.into();
    let length = HeaderValue::from(content.len());
    let mut response = Response::new(AnswerBody::whole(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// Refuses a request whose meaning is in doubt, and closes: what follows on the connection is in doubt too.
pub(super) fn refusal(version: Version, reason: impl std::fmt::Display) -> Response<AnswerBody> {
    let mut response = text(StatusCode::BAD_REQUEST, &format!("Bad request: {reason}."));
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The same answer to a HEAD request: all but the body.
pub(super) fn without_body(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    let asked = response.body_mut().take_asked();
    *response.body_mut() = AnswerBody::whole(Bytes::new()).asked(asked);
    response
}
