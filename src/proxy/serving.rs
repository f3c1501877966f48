//! One client's connection: which HTTP it speaks, and how its requests are answered.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::answer::AnswerBody;
use super::connection::ConnectionInfo;
use super::executor::{LocalTasks, drive};
use super::front::Front;
use super::gate::Gate;
use super::guard::{Guard, Protocol};
use super::limits::Limits;
use super::pool::{BUFFER_SIZE, CONNECTION_WINDOW, STREAM_WINDOW};
use super::redirect::Redirect;

/// What a listener's connections are answered by.
#[derive(Clone)]
pub(super) enum Service {
    Gate(Arc<Gate>),
    Redirect(Arc<Redirect>),
}

type Answered = Result<Response<AnswerBody>, Infallible>;

/// Why a connection ended before its time.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How one connection is served.
pub(super) struct Serving {
    pub(super) service: Service,
    /// Where the connection is one over TLS.
    pub(super) front: Option<Arc<Front>>,
    pub(super) info: Arc<ConnectionInfo>,
    pub(super) limits: Limits,
    pub(super) draining: CancellationToken,
}

impl Serving {
    /// HTTP/2 is spoken only where both sides say so in the handshake (RFC 9113, 3.2).
    pub(super) async fn over_tls(self, stream: Box<TlsStream<TcpStream>>) -> Result<(), Failure> {
        let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let tasks = LocalTasks::default();
        let ending = self.ending();
        if speaks_http2 {
            let stream = TokioIo::new(self.guarded(stream, Protocol::Undecided(0)));
            let mut builder = http2::Builder::new(tasks.clone());
            let builder = builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(self.limits.streams)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(BUFFER_SIZE);
            let answers = service_fn(move |request| self.answer(request));
            let connection = Box::pin(builder.serve_connection(stream, answers));
            drive(connection, tasks, ending, |it| it.get_mut().as_mut().graceful_shutdown()).await?;
        } else {
            let stream = TokioIo::new(self.guarded(stream, Protocol::Http1));
            // Without a timer of hyper's for heads: the guard times them, and only those that do not come at once.
            let mut builder = http1::Builder::new();
            let answers = service_fn(move |request| self.answer(request));
            let connection = builder.max_buf_size(BUFFER_SIZE).serve_connection(stream, answers);
            let connection = Box::pin(connection.with_upgrades());
            drive(connection, tasks, ending, |it| it.get_mut().as_mut().graceful_shutdown()).await?;
        }
        Ok(())
    }

    /// Its first bytes say which HTTP it is.
    pub(super) async fn in_plain(self, stream: TcpStream) -> Result<(), Failure> {
        let tasks = LocalTasks::default();
        let ending = self.ending();
        let mut builder = auto::Builder::new(tasks.clone());
        builder.http1().max_buf_size(BUFFER_SIZE);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(BUFFER_SIZE);
        let stream = TokioIo::new(self.guarded(stream, Protocol::Undecided(0)));
        let answers = service_fn(move |request| self.answer(request));
        let connection = Box::pin(builder.serve_connection_with_upgrades(stream, answers));
        drive(connection, tasks, ending, |it| it.get_mut().as_mut().graceful_shutdown()).await
    }

    fn guarded<S>(&self, stream: S, protocol: Protocol) -> Guard<S> {
        Guard::new(stream, protocol, self.info.clone(), self.limits.head)
    }

    /// Resolves when the connection is to take nothing new.
    fn ending(&self) -> impl Future<Output = ()> + Send + use<> {
        let (info, draining, tick) = (self.info.clone(), self.draining.clone(), self.limits.idle_tick);
        async move {
            tokio::select! {
                () = draining.cancelled() => info.first_request().await,
                () = info.idle(tick) => {}
            }
        }
    }

    /// In a box: hyper moves it about.
    fn answer(&self, request: Request<Incoming>) -> Pin<Box<impl Future<Output = Answered> + Send + use<>>> {
        Box::pin(answer(self.service.clone(), self.front.clone(), request, self.info.clone()))
    }
}

async fn answer(
    service: Service,
    front: Option<Arc<Front>>,
    request: Request<Incoming>,
    info: Arc<ConnectionInfo>,
) -> Answered {
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
