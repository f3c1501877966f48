//! The connections to one container, for one environment and generation.
//!
//! A pool belongs to a route. When the route goes, the pool is retired: idle connections close, those in use close
//! after their answer. So a recycled address never serves another branch.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::CryptoProvider;

use super::body::RequestBody;
use super::chosen::Chosen;
use super::connect::{self, Dialed};
use super::executor::{LocalTasks, drive};
use super::in_force::InForce;
use super::line::Line;
use super::repeat::{SendFailure, again, is_unsent, repeatable, unanswered};
use super::standing::Standing;
use super::upstream_tls::{Offer, TlsClient};
use crate::domain::backend::BackendTls;
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
    pub(super) bounds: Arc<InForce>,
    pub(super) provider: Arc<CryptoProvider>,
    /// For containers whose labels say nothing of TLS.
    pub(super) tls: Arc<TlsClient>,
}

/// Which connections may be shared: all of it must be the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    environment: EnvironmentId,
    generation: Generation,
    address: SocketAddr,
    scheme: Scheme,
    container: String,
    tls: Option<Arc<BackendTls>>,
}

impl PoolKey {
    /// Of the upstream's first container.
    pub(super) fn new(route: &Route, upstream: &Upstream) -> Self {
        Self {
            environment: route.environment,
            generation: route.generation,
            address: upstream.address,
            scheme: upstream.scheme,
            container: upstream.container.clone(),
            tls: upstream.tls.clone(),
        }
    }
}

pub(super) struct Pool {
    pub(super) key: PoolKey,
    upstream: Upstream,
    dialer: Arc<Dialer>,
    tls: OnceLock<Result<Arc<TlsClient>, String>>,
    pub(super) chosen: Chosen,
    pub(super) standing: Arc<Standing>,
    /// No route leads here any more.
    retired: AtomicBool,
    /// Connections are not kept.
    draining: AtomicBool,
    /// Most recently used last. Held for a push or a pop only, shared by one environment's requests only.
    idle: Mutex<Vec<Idle>>,
    /// The one HTTP/2 connection.
    shared: Mutex<Option<http2::SendRequest<RequestBody>>>,
    pub(super) dialing: tokio::sync::Mutex<()>,
}

struct Idle {
    sender: Line,
    since: Instant,
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
    /// To the upstream's first container.
    pub(super) fn new(key: PoolKey, upstream: Upstream, dialer: Arc<Dialer>) -> Self {
        Self {
            key,
            upstream,
            dialer,
            tls: OnceLock::new(),
            chosen: Chosen::default(),
            standing: Arc::default(),
            retired: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            idle: Mutex::default(),
            shared: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.upstream.scheme
    }

    pub(super) fn container(&self) -> &str {
        &self.upstream.container
    }

    /// Sends the request and waits for the head of the answer. A connection that the container closed while it was
    /// idle costs another try where nothing was sent, or where the request is safe and has no body.
    /// A new connection must be there by `connect_by`.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<RequestBody>,
        connect_by: Option<Instant>,
    ) -> Result<Sent, SendFailure> {
        if request.version() == Version::HTTP_2 {
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
        Box::pin(self.send_fresh(request, connect_by)).await
    }

    /// Sends the request on a connection of its own: for upgrades, and as the last try.
    pub(super) async fn send_fresh(
        self: &Arc<Self>,
        request: Request<RequestBody>,
        connect_by: Option<Instant>,
    ) -> Result<Sent, SendFailure> {
        let mut sender = match within(connect_by, Box::pin(self.dial())).await {
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
            let mut sender = match self.shared(connect_by).await {
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

    async fn shared(&self, connect_by: Option<Instant>) -> io::Result<http2::SendRequest<RequestBody>> {
        match self.open_shared() {
            Some(sender) => Ok(sender),
            None => within(Some(self.connect_by(connect_by)), Box::pin(self.dial_shared())).await,
        }
    }

    /// Until when a connection must be there, waiting for another one's dial included.
    pub(super) fn connect_by(&self, by: Option<Instant>) -> Instant {
        by.unwrap_or_else(|| Instant::now() + self.dialer.bounds.limits().connect)
    }

    async fn dial(&self) -> io::Result<Line> {
        Line::begin(self.connect(Offer::Http1).await?, BUFFER_SIZE).await
    }

    async fn dial_shared(&self) -> io::Result<http2::SendRequest<RequestBody>> {
        let _only_one_dials = self.dialing.lock().await;
        if let Some(sender) = self.open_shared() {
            return Ok(sender);
        }
        let stream = self.connect(Offer::Either).await?;
        if self.scheme() == Scheme::Https && !stream.is_http2() {
            self.chosen.forget();
            return Err(io::Error::other("it spoke HTTP/2 before and does not any more"));
        }
        self.share(stream).await
    }

    /// Speaks HTTP/2 over a new connection, from now on for all requests.
    pub(super) async fn share(&self, stream: Dialed) -> io::Result<http2::SendRequest<RequestBody>> {
        let tasks = LocalTasks::default();
        let (sender, connection) = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(BUFFER_SIZE)
            .handshake::<_, RequestBody>(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        self.dialer.supervisor.spawn("proxy upstream h2", async move {
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

    pub(super) async fn connect(&self, offer: Offer) -> io::Result<Dialed> {
        if self.is_retired() {
            return Err(io::Error::other("its route has changed"));
        }
        let tls = match &self.upstream.tls {
            None => &self.dialer.tls,
            Some(labels) => {
                let made = || TlsClient::new(Some(labels), &self.dialer.provider).map(Arc::new);
                self.tls.get_or_init(made).as_ref().map_err(|why| io::Error::other(why.clone()))?
            }
        };
        let stream =
            connect::connect(&self.upstream, tls, offer, self.dialer.bounds.limits().connect).await?;
        if self.is_retired() {
            return Err(io::Error::other("its route has changed"));
        }
        Ok(stream)
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

    pub(super) fn put(&self, mut sender: Line) {
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

pub(super) async fn within<T>(
    limit: Option<Instant>,
    dialed: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let Some(limit) = limit else { return dialed.await };
    match tokio::time::timeout_at(limit, dialed).await {
        Ok(result) => result,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
