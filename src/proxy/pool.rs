//! The connections to one container, for one environment and generation.
//!
//! A pool belongs to a route. When the route goes, the pool is retired: idle connections close, those in use close
//! after their answer. So a recycled address never serves another branch.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

use super::body::RequestBody;
use super::connect::{self, Dialed};
use super::executor::{LocalTasks, drive};
use super::line::Line;
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::route::{Route, Scheme, Upstream};
use crate::supervisor::Supervisor;

/// How much of a stream lies in memory between a fast and a slow side.
pub(super) const BUFFER_SIZE: usize = 64 * 1024;
/// How much of one HTTP/2 stream may be under way unread.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;
/// How much of all streams of one HTTP/2 connection may be under way unread: many times a stream's, so that a few
/// that nobody reads do not hold up the others.
pub(super) const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Idle connections kept for one container.
const IDLE_CONNECTIONS: usize = 64;
/// Some servers close after 5 s: a request that meets the end of a connection may be lost. A new connection to a
/// container costs next to nothing, and one that is kept costs memory.
const IDLE_LIMIT: Duration = Duration::from_secs(4);

/// What all pools share.
pub(super) struct Dialer {
    pub(super) supervisor: Supervisor,
    pub(super) tls: Arc<ClientConfig>,
}

/// Which connections may be shared: all of it must be the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    environment: EnvironmentId,
    generation: Generation,
    address: SocketAddr,
    scheme: Scheme,
    container: String,
}

impl PoolKey {
    pub(super) fn new(route: &Route, upstream: &Upstream) -> Self {
        Self {
            environment: route.environment,
            generation: route.generation,
            address: upstream.address,
            scheme: upstream.scheme,
            container: upstream.container.clone(),
        }
    }
}

pub(super) struct Pool {
    upstream: Upstream,
    dialer: Arc<Dialer>,
    /// No route leads here any more.
    retired: AtomicBool,
    /// Connections are not kept.
    draining: AtomicBool,
    /// Most recently used last. Held for a push or a pop only, shared by one environment's requests only.
    idle: Mutex<Vec<Idle>>,
    /// The one HTTP/2 connection.
    shared: Mutex<Option<http2::SendRequest<RequestBody>>>,
    dialing: tokio::sync::Mutex<()>,
}

struct Idle {
    sender: Line,
    since: Instant,
}

/// Why there is no answer.
pub(super) enum SendFailure {
    /// The container took no connection; nothing of the request was sent or read.
    Unreached(Request<RequestBody>, io::Error),
    /// The connection broke before an answer. The request, where it may be sent once more.
    Unanswered(Option<Request<RequestBody>>, hyper::Error),
}

/// An HTTP/1 connection in use; goes back to its pool when the answer has come to its end.
pub(super) struct Lease {
    pool: Arc<Pool>,
    sender: Line,
}

impl Lease {
    /// Moves the connection on until it brings what `heard` waits for.
    pub(super) fn drive<T>(
        &mut self,
        context: &mut Context<'_>,
        heard: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.sender.drive(context, heard)
    }

    /// The answer was read to its end: the next request may use the connection.
    pub(super) fn give_back(self) {
        self.pool.put(self.sender);
    }
}

type Sent = (Response<Incoming>, Option<Lease>);

impl Pool {
    pub(super) fn new(upstream: Upstream, dialer: Arc<Dialer>) -> Self {
        Self {
            upstream,
            dialer,
            retired: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            idle: Mutex::default(),
            shared: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn speaks_http2(&self) -> bool {
        self.upstream.scheme == Scheme::H2c
    }

    /// Sends the request and waits for the head of the answer. A connection that the container closed while it was
    /// idle costs another try where nothing was sent, or where the request is safe and has no body.
    /// A new connection must be there by `connect_by`.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<RequestBody>,
        connect_by: Option<Instant>,
    ) -> Result<Sent, SendFailure> {
        if self.speaks_http2() {
            return self.send_shared(request, connect_by).await;
        }
        let mut request = request;
        let mut may_be_stale = true;
        while may_be_stale && let Some(mut sender) = self.take() {
            let copy = repeatable(&request);
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, Some(Lease { pool: self.clone(), sender }))),
                Err(failure) => {
                    may_be_stale = is_unsent(&failure);
                    request = again(failure, copy)?;
                }
            }
        }
        self.send_fresh(request, connect_by).await
    }

    /// Sends the request on a connection of its own: for upgrades, and as the last try.
    pub(super) async fn send_fresh(
        self: &Arc<Self>,
        request: Request<RequestBody>,
        connect_by: Option<Instant>,
    ) -> Result<Sent, SendFailure> {
        let mut sender = match within(connect_by, self.dial()).await {
            Ok(sender) => sender,
            Err(error) => return Err(SendFailure::Unreached(request, error)),
        };
        let copy = repeatable(&request);
        match sender.try_send_request(request).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                self.dialer.supervisor.spawn("proxy upstream", sender.finish());
                Ok((response, None))
            }
            Ok(response) => Ok((response, Some(Lease { pool: self.clone(), sender }))),
            Err(failure) => Err(unanswered(failure, copy)),
        }
    }

    async fn send_shared(
        &self,
        request: Request<RequestBody>,
        connect_by: Option<Instant>,
    ) -> Result<Sent, SendFailure> {
        let mut request = request;
        let mut is_first = true;
        loop {
            let mut sender = match within(connect_by, self.dial_shared()).await {
                Ok(sender) => sender,
                Err(error) => return Err(SendFailure::Unreached(request, error)),
            };
            let copy = repeatable(&request);
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, None)),
                Err(failure) if is_first && sender.is_closed() => {
                    is_first = false;
                    request = again(failure, copy)?;
                }
                Err(failure) => return Err(unanswered(failure, copy)),
            }
        }
    }

    async fn dial(&self) -> io::Result<Line> {
        Line::begin(self.connect().await?, BUFFER_SIZE).await
    }

    async fn dial_shared(&self) -> io::Result<http2::SendRequest<RequestBody>> {
        if let Some(sender) = self.open_shared() {
            return Ok(sender);
        }
        let _only_one_dials = self.dialing.lock().await;
        if let Some(sender) = self.open_shared() {
            return Ok(sender);
        }
        let stream = self.connect().await?;
        let tasks = LocalTasks::default();
        let (sender, connection) = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(BUFFER_SIZE)
            .handshake::<_, RequestBody>(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        self.dialer.supervisor.spawn("proxy upstream h2c", async move {
            if let Err(error) = drive(connection, tasks, std::future::pending(), |_| {}).await {
                tracing::debug!(%error, "a connection to a container broke");
            }
        });
        let mut shared = lock(&self.shared);
        if self.keeps_connections() {
            *shared = Some(sender.clone());
        }
        drop(shared);
        Ok(sender)
    }

    async fn connect(&self) -> io::Result<Dialed> {
        if self.is_retired() {
            return Err(io::Error::other("its route has changed"));
        }
        connect::connect(&self.upstream, &self.dialer.tls).await
    }

    fn open_shared(&self) -> Option<http2::SendRequest<RequestBody>> {
        lock(&self.shared).as_ref().filter(|sender| !sender.is_closed()).cloned()
    }

    /// The most recently used connection that is ready for a request; those that the container closed go.
    fn take(&self) -> Option<Line> {
        let mut idle = lock(&self.idle);
        while let Some(Idle { mut sender, since }) = idle.pop() {
            if since.elapsed() < IDLE_LIMIT && sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn put(&self, mut sender: Line) {
        if !self.keeps_connections() || !sender.is_ready() {
            return;
        }
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(Idle { sender, since: Instant::now() });
        }
        // Retired in between: nobody will come to clear the list again.
        if !self.keeps_connections() {
            idle.clear();
        }
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    fn keeps_connections(&self) -> bool {
        !self.is_retired() && !self.draining.load(Ordering::SeqCst)
    }

    /// Nobody is led here any more: opens nothing new, closes what is idle, and what is in use after its answer.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        self.close_idle();
    }

    /// Connections end with the answers they carry.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.close_idle();
    }

    fn close_idle(&self) {
        lock(&self.idle).clear();
        lock(&self.shared).take();
    }

    /// Closes what was idle for too long, and forgets what the container closed.
    pub(super) fn sweep(&self) {
        lock(&self.idle).retain_mut(|idle| idle.since.elapsed() < IDLE_LIMIT && idle.sender.is_ready());
    }
}

async fn within<T>(limit: Option<Instant>, dialed: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let Some(limit) = limit else { return dialed.await };
    match tokio::time::timeout_at(limit, dialed).await {
        Ok(result) => result,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The same request once more, where sending it twice does no harm (RFC 9110, 9.2.1) and it has no body.
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !request.method().is_safe() || !matches!(request.body(), RequestBody::None) {
        return None;
    }
    let mut copy = Request::new(RequestBody::None);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

fn is_unsent(failure: &TrySendError<Request<RequestBody>>) -> bool {
    failure.message().is_some()
}

fn again(
    mut failure: TrySendError<Request<RequestBody>>,
    copy: Option<Request<RequestBody>>,
) -> Result<Request<RequestBody>, SendFailure> {
    match failure.take_message().or(copy) {
        Some(request) => Ok(request),
        None => Err(SendFailure::Unanswered(None, failure.into_error())),
    }
}

fn unanswered(
    mut failure: TrySendError<Request<RequestBody>>,
    copy: Option<Request<RequestBody>>,
) -> SendFailure {
    SendFailure::Unanswered(failure.take_message().or(copy), failure.into_error())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
