//! WebSocket and other upgrades of HTTP/1.1: two connections become one tunnel, once the container agreed.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::connection::ConnectionInfo;
use super::frames::{Frames, GOING_AWAY, GOING_AWAY_MASKED};
use super::headers::has_token;
use super::pool::BUFFER_SIZE;
use super::standing::Busy;
use super::tally::Tally;
use super::visits::{Leave, Visit};
use crate::supervisor::Supervisor;

/// How long a tunnel's ends may take to hear that it is over.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// A client that wants to speak another protocol.
pub(super) struct Wanted {
    client: OnUpgrade,
    protocols: HeaderValue,
}

/// The client's side of an upgrade, when the request asks for one that is passed on: HTTP/1.1, without a body, and
/// not to `h2c`, which would lead past the rules for requests.
pub(super) fn wanted(request: &mut Request<Incoming>) -> Option<Wanted> {
    let asks = request.version() == Version::HTTP_11
        && request.method() != Method::CONNECT
        && request.body().is_end_stream()
        && request.headers().get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    if !asks {
        return None;
    }
    let mut values = request.headers().get_all(UPGRADE).iter();
    let (Some(protocols), None) = (values.next().cloned(), values.next()) else { return None };
    if has_token(&protocols, "h2c") || has_token(&protocols, "h2") {
        return None;
    }
    Some(Wanted { client: hyper::upgrade::on(request), protocols })
}

impl Wanted {
    /// Puts the wish back after the headers of the client's connection were taken off.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocols.clone());
    }

    /// Whether the container switches to a protocol that the client named.
    pub(super) fn is_granted(&self, response: &Response<Incoming>) -> bool {
        let Ok(offered) = self.protocols.to_str() else { return false };
        let mut chosen = response.headers().get_all(UPGRADE).iter();
        match (chosen.next().and_then(|value| value.to_str().ok()), chosen.next()) {
            (Some(chosen), None) => {
                offered.split(',').any(|one| one.trim().eq_ignore_ascii_case(chosen.trim()))
            }
            (Some(_), Some(_)) | (None, _) => false,
        }
    }
}

/// One tunnel's ends and those who want to know of it.
pub(super) struct Tunnel {
    pub(super) wanted: Wanted,
    pub(super) container: OnUpgrade,
    pub(super) client: Arc<ConnectionInfo>,
    pub(super) visit: Visit,
    /// When its environment wants it gone.
    pub(super) leave: Leave,
    pub(super) tally: Arc<Tally>,
    /// How long it may go on when the daemon drains.
    pub(super) grace: Duration,
    /// The container has it to carry for as long.
    pub(super) busy: Option<Busy>,
}

impl Tunnel {
    /// Passes bytes both ways until both sides ended, one broke, or the daemon drains.
    pub(super) fn run(self, supervisor: &Supervisor) {
        self.client.become_tunnel();
        let (leave, stays) = (self.leave.clone(), self.leave.stay());
        let ending = ended(supervisor.draining(), self.grace, leave);
        supervisor.spawn("proxy tunnel", async move {
            let _open = OpenTunnel::new(self.tally.clone());
            let is_websocket = has_token(&self.wanted.protocols, "websocket");
            pass(self.wanted.client, self.container, ending, (is_websocket, &self.tally)).await;
            drop(self.visit);
            drop(self.busy);
            drop(stays);
        });
    }
}

/// Counts a tunnel as open until it is dropped.
struct OpenTunnel(Arc<Tally>);

impl OpenTunnel {
    fn new(tally: Arc<Tally>) -> Self {
        tally.opened();
        Self(tally)
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.closed();
    }
}

async fn ended(draining: CancellationToken, grace: Duration, leave: Leave) {
    let drained = async {
        draining.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = drained => {}
        () = leave.told() => {}
    }
}

async fn pass(
    client: OnUpgrade,
    container: OnUpgrade,
    ending: impl Future<Output = ()> + Send,
    (is_websocket, tally): (bool, &Tally),
) {
    let ending = ending.shared();
    let both = tokio::select! {
        both = async { tokio::try_join!(client, container) } => both,
        () = ending.clone() => return,
    };
    let (client, container) = match both {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade did not come about");
            return;
        }
    };
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_container, to_container) = tokio::io::split(TokioIo::new(container));
    let farewell = |bytes: &'static [u8]| is_websocket.then(|| (Frames::default(), bytes));
    let received = |bytes| tally.passed(bytes, 0);
    let sent = |bytes| tally.passed(0, bytes);
    let up = copy(from_client, to_container, farewell(&GOING_AWAY_MASKED), ending.clone(), received);
    let down = copy(from_container, to_client, farewell(&GOING_AWAY), ending.clone(), sent);
    let both = async { tokio::try_join!(up, down) };
    let cut = async {
        ending.await;
        tokio::time::sleep(FAREWELL_LIMIT).await;
    };
    tokio::select! {
        passed = both => {
            passed.inspect_err(|error| tracing::debug!(%error, "a tunnel broke")).ok();
        }
        () = cut => {}
    }
}

/// Passes bytes one way until their end, which is passed on. When the tunnel is to end, a WebSocket does so between two
/// frames, with a word of farewell; what is not known to have borders ends on the spot.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut farewell: Option<(Frames, &'static [u8])>,
    ending: impl Future<Output = ()>,
    passed: impl Fn(u64),
) -> io::Result<()> {
    let mut ending = std::pin::pin!(ending);
    let mut is_ending = false;
    let mut buffer = vec![0; BUFFER_SIZE / 4];
    loop {
        if is_ending && farewell.as_ref().is_none_or(|(frames, _)| frames.is_at_border()) {
            to.write_all(farewell.map_or(&[], |(_, word)| word)).await?;
            return to.shutdown().await;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            () = &mut ending, if !is_ending => {
                is_ending = true;
                continue;
            }
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let mut bytes = &buffer[..read];
        match &mut farewell {
            Some((frames, _)) if is_ending => bytes = &bytes[..frames.pass_to_border(bytes)],
            Some((frames, _)) => frames.pass(bytes),
            None => {}
        }
        to.write_all(bytes).await?;
        passed(bytes.len() as u64);
        to.flush().await?;
    }
}
