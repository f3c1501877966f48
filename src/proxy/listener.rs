//! Accepts connections and drives each in a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::answer::AnswerBody;
use super::connection::ConnectionInfo;
use super::executor::{LocalTasks, drive};
use super::front::Front;
use super::gate::Gate;
use super::guard::Guard;
use super::in_force::InForce;
use super::limits::Limits;
use super::pool::{BUFFER_SIZE, CONNECTION_WINDOW, STREAM_WINDOW};
use super::redirect::Redirect;
use super::seats::Seats;
use crate::supervisor::Supervisor;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Pause after `accept` failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener's connections are answered by.
#[derive(Clone)]
pub(super) enum Service {
    Gate(Arc<Gate>),
    Redirect(Arc<Redirect>),
}

/// One listening socket.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Option<Arc<Front>>,
    pub(super) service: Service,
    pub(super) places: Arc<Semaphore>,
    pub(super) seats: Seats,
    pub(super) bounds: Arc<InForce>,
    pub(super) supervisor: Supervisor,
}

impl Listener {
    /// Until the daemon drains.
    pub(super) async fn run(self) {
        let draining = self.supervisor.draining();
        loop {
            // At the limit nobody is accepted: clients wait in the kernel's queue instead of being cut.
            let place = tokio::select! {
                () = draining.cancelled() => return,
                place = self.places.clone().acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            let accepted = tokio::select! {
                () = draining.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.receive(stream, peer, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn receive(&self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let trusted = self.bounds.trusting(peer.ip());
        let limits = self.bounds.limits();
        // Behind a proxy are many: they are not counted as one.
        let most = limits.per_address.filter(|_| trusted.is_none());
        let seat = most.map(|most| self.seats.take(peer.ip(), most));
        if matches!(seat, Some(None)) {
            tracing::debug!(%peer, "the address has too many connections");
            return;
        }
        let info =
            ConnectionInfo::new(peer, self.tls.is_some(), place).trusted(trusted).seated(seat.flatten());
        self.spawn(stream, peer, Arc::new(info), limits);
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, info: Arc<ConnectionInfo>, limits: Limits) {
        let (tls, draining) = (self.tls.clone(), self.supervisor.draining());
        let front = tls.clone();
        let answering = Answering { service: self.service.clone(), front, info: info.clone(), limits };
        self.supervisor.spawn("connection", async move {
            stream.set_nodelay(true).ok();
            let served = match tls {
                None => serve(stream, answering, draining).await,
                Some(tls) => match tokio::time::timeout(HANDSHAKE_LIMIT, tls.receive(stream, &info)).await {
                    // In a box: it is large, and is handed on several times.
                    Ok(Ok(Some(stream))) => serve(Box::new(stream), answering, draining).await,
                    Ok(Ok(None)) => Ok(()),
                    Ok(Err(error)) => Err(error.into()),
                    Err(_slow) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                },
            };
            if let Err(error) = served {
                tracing::debug!(error, %peer, "a client's connection ended");
            }
        });
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How one connection's requests are answered.
struct Answering {
    service: Service,
    /// Where the connection is one over TLS.
    front: Option<Arc<Front>>,
    info: Arc<ConnectionInfo>,
    limits: Limits,
}

async fn serve<S>(stream: S, answering: Answering, draining: CancellationToken) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Answering { service, front, info, limits } = answering;
    let tasks = LocalTasks::default();
    let mut builder = Builder::new(tasks.clone());
    // Without a timer of hyper's for heads: the guard times them, and only those that do not come at once.
    // The head of a request has to fit into it.
    builder.http1().max_buf_size(usize::try_from(limits.header_bytes).unwrap_or(BUFFER_SIZE));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER_SIZE);
    let idle = info.clone();
    let ending = async move {
        tokio::select! {
            () = draining.cancelled() => idle.first_request().await,
            () = idle.idle(limits.idle_tick) => {}
        }
    };
    let stream = TokioIo::new(Guard::new(stream, info.clone(), limits.head));
    let answering =
        service_fn(move |request| Box::pin(answer(service.clone(), front.clone(), request, info.clone())));
    let connection = Box::pin(builder.serve_connection_with_upgrades(stream, answering));
    drive(connection, tasks, ending, |connection| connection.get_mut().as_mut().graceful_shutdown()).await
}

async fn answer(
    service: Service,
    front: Option<Arc<Front>>,
    request: Request<Incoming>,
    info: Arc<ConnectionInfo>,
) -> Result<Response<AnswerBody>, std::convert::Infallible> {
    if let Some(refusal) = front.as_ref().and_then(|front| front.misdirected(&request, &info)) {
        return Ok(refusal);
    }
    let mut response = match service {
        Service::Gate(gate) => gate.answer(request, info).await?,
        Service::Redirect(redirect) => redirect.answer(request).await?,
    };
    if let Some(front) = front {
        front.mark(&mut response);
    }
    Ok(response)
}
