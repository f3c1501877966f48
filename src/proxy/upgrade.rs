//! WebSocket and other upgrades of HTTP/1.1: two connections become one tunnel, once the container agreed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::connection::ConnectionInfo;
use super::headers::has_token;
use super::pool::BUFFER_SIZE;
use super::tally::Tally;
use super::visits::Visit;
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
    pub(super) tally: Arc<Tally>,
    /// How long it may go on when the daemon drains.
    pub(super) grace: Duration,
}

impl Tunnel {
    /// Passes bytes both ways until both sides ended, one broke, or the daemon drains.
    pub(super) fn run(self, supervisor: &Supervisor) {
        self.client.become_tunnel();
        let ending = ended(supervisor.draining(), self.grace);
        supervisor.spawn("proxy tunnel", async move {
            let _open = OpenTunnel::new(self.tally.clone());
            let (received, sent) = pass(self.wanted.client, self.container, ending).await;
            self.tally.passed(received, sent);
            drop(self.visit);
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

async fn ended(draining: CancellationToken, grace: Duration) {
    draining.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// Returns the bytes from the client and to it, as far as both sides came to their end.
async fn pass(client: OnUpgrade, container: OnUpgrade, ending: impl Future<Output = ()>) -> (u64, u64) {
    let mut ending = std::pin::pin!(ending);
    let both = tokio::select! {
        both = async { tokio::try_join!(client, container) } => both,
        () = &mut ending => return (0, 0),
    };
    let (client, container) = match both {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade did not come about");
            return (0, 0);
        }
    };
    let (mut client, mut container) = (TokioIo::new(client), TokioIo::new(container));
    let size = BUFFER_SIZE / 4;
    tokio::select! {
        passed = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut container, size, size) => {
            passed.inspect_err(|error| tracing::debug!(%error, "a tunnel broke")).unwrap_or_default()
        }
        () = ending => {
            farewell(client, container).await;
            (0, 0)
        }
    }
}

/// Tells both sides of the end, where they listen; the rest is cut.
async fn farewell(mut client: TokioIo<Upgraded>, mut container: TokioIo<Upgraded>) {
    let told = async { tokio::join!(client.shutdown(), container.shutdown()) };
    tokio::time::timeout(FAREWELL_LIMIT, told).await.ok();
}
