//! The event stream of a waiting page: says where the environment stands, each time that changes.
//!
//! Server-sent events, one line each: the mark of an answer, which is all that a page has to compare with its own.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::answer::AnswerBody;
use super::gate::Gate;
use super::table::{Entry, Target};
use super::waiting::Place;
use crate::domain::route::Page;

/// On every host, whatever it leads to: no service is asked for it.
pub(super) const PATH: &str = "/.well-known/drey/events";
/// The page's own part of it.
pub(super) const SCRIPT: &str = include_str!("page.js");
/// How often something is said when nothing changes: so it is noticed that nobody listens any more.
const BEAT: Duration = Duration::from_secs(15);
/// Milliseconds after which a browser comes back that was cut off.
const COME_BACK: u32 = 1000;

/// The script as a source of the page's content policy.
pub(super) static SCRIPT_DIGEST: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", BASE64.encode(&Sha256::digest(SCRIPT))));

pub(super) fn is_asked<B>(request: &Request<B>) -> bool {
    request.uri().path() == PATH && request.method() == Method::GET
}

/// What a page knows itself by: another one is another page.
pub(super) fn mark(page: &Page) -> String {
    let mut digest = Sha256::new();
    digest.update(page.reason.as_deref().unwrap_or_default());
    let digest = HEXLOWER.encode(digest.finalize().get(..4).unwrap_or_default());
    format!("{}-{digest}", page.phase.word())
}

fn mark_of(entry: Option<&Entry>) -> String {
    match entry.map(|entry| &entry.target) {
        None => "unknown".to_owned(),
        Some(Target::Page(page)) => mark(page),
        Some(Target::Replacing(_)) => "updating".to_owned(),
        Some(Target::Proxy(_)) => "ready".to_owned(),
    }
}

/// The marks of what the host leads to, from now on until it is ready.
pub(super) fn answer(gate: Arc<Gate>, host: String, place: Place) -> Response<AnswerBody> {
    let listening = Listening { changes: gate.table.changes(), gate, host, told: None, _place: place };
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

struct Listening {
    gate: Arc<Gate>,
    host: String,
    changes: watch::Receiver<()>,
    told: Option<String>,
    _place: Place,
}

impl Listening {
    async fn next(&mut self) -> Option<Bytes> {
        if self.told.as_deref() == Some("ready") {
            return None;
        }
        loop {
            let mark = mark_of(self.gate.table.find(&self.host).as_deref());
            if self.told.as_ref() != Some(&mark) {
                let event = format!("retry: {COME_BACK}\ndata: {mark}\n\n");
                self.told = Some(mark);
                return Some(event.into());
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep(BEAT) => return Some(Bytes::from_static(b":\n\n")),
                () = self.gate.draining.cancelled() => return None,
            }
        }
    }
}
