//! The event stream of a waiting page: says where the environment stands, each time that changes.
//!
//! Server-sent events, one line each: the mark of an answer, which is all that a page has to compare with its own.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answer::AnswerBody;
use super::mark::mark;
use super::table::{Entry, Target};
use super::waiting::Place;

/// On every host, whatever it leads to: no service is asked for it.
pub(super) const PATH: &str = "/.well-known/drey/events";
/// How often something is said when nothing changes: so it is noticed that nobody listens any more.
const BEAT: Duration = Duration::from_secs(15);
/// Milliseconds after which a browser comes back that was cut off.
const COME_BACK: u32 = 1000;

pub(super) fn is_asked<B>(request: &Request<B>) -> bool {
    request.uri().path() == PATH && request.method() == Method::GET
}

/// The mark of what a host leads to.
pub(super) fn mark_of(entry: Option<&Entry>) -> String {
    match entry.map(|entry| &entry.target) {
        None => "unknown".to_owned(),
        Some(Target::Page(page)) => mark(page),
        Some(Target::Replacing(_)) => "updating".to_owned(),
        Some(Target::Proxy(_)) => "ready".to_owned(),
    }
}

/// The marks that `look` gives, from now on until it is ready. It is asked after each change.
pub(super) fn answer(
    look: impl Fn() -> String + Send + 'static,
    changes: watch::Receiver<()>,
    draining: CancellationToken,
    place: Place,
) -> Response<AnswerBody> {
    let listening = Listening { look, changes, draining, told: None, _place: place };
    let events = stream::unfold(listening, |mut listening| async move {
        let event = listening.next().await?;
        Some((event, listening))
    });
    let mut response = Response::new(AnswerBody::events(Box::pin(events)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies before this one would gather it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Listening<L> {
    look: L,
    changes: watch::Receiver<()>,
    draining: CancellationToken,
    told: Option<String>,
    _place: Place,
}

impl<L: Fn() -> String> Listening<L> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.told.as_deref() == Some("ready") {
            return None;
        }
        loop {
            let mark = (self.look)();
            if self.told.as_ref() != Some(&mark) {
                let event = format!("retry: {COME_BACK}\ndata: {mark}\n\n");
                self.told = Some(mark);
                return Some(event.into());
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep(BEAT) => return Some(Bytes::from_static(b":\n\n")),
                () = self.draining.cancelled() => return None,
            }
        }
    }
}
