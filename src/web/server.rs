//! Accepts connections and answers them, each in a task of its own.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::access::Peer;
use super::border::{Connections, Seat};
use crate::supervisor::Supervisor;

/// How long a client may take for the head of a request; well below what the daemon's end waits.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Pause after `accept` failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that connections come from.
pub(super) trait Listener: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Whether strangers come through it.
    const IS_OPEN: bool;

    /// The next connection, and where it comes from.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;
    const IS_OPEN: bool = true;

    async fn next(&self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, address) = self.accept().await?;
        stream.set_nodelay(true).ok();
        Ok((stream, Peer::Tcp(address.ip().to_canonical())))
    }
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;
    const IS_OPEN: bool = false;

    /// Whoever may open it is the operator.
    async fn next(&self) -> io::Result<(Self::Stream, Peer)> {
        self.accept().await.map(|(stream, _address)| (stream, Peer::Socket))
    }
}

/// Serves until the daemon drains.
pub(super) async fn serve<L: Listener>(listener: L, router: Router, supervisor: Supervisor, door: Door) {
    let draining = supervisor.draining();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => return,
            accepted = door.next(&listener) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let caller = (peer, door.seat(peer));
                let served = answer(stream, router.clone(), draining.clone(), HEAD_LIMIT, caller);
                supervisor.spawn("request", served);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Who gets in.
pub(super) struct Door {
    pub(super) connections: Arc<Connections>,
    /// Whether a peer is a proxy that many stand behind.
    pub(super) is_trusted: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl Door {
    async fn next<L: Listener>(&self, listener: &L) -> io::Result<(L::Stream, Peer)> {
        if L::IS_OPEN {
            self.connections.has_place().await;
        }
        listener.next().await
    }

    /// Those who use the socket need no place.
    fn seat(&self, peer: Peer) -> Option<Seat> {
        match peer {
            Peer::Socket => None,
            Peer::Tcp(address) => Some(self.connections.take(address, (self.is_trusted)(address))),
        }
    }
}

async fn answer<S>(
    stream: S,
    router: Router,
    draining: CancellationToken,
    head_limit: Duration,
    (peer, seat): (Peer, Option<Seat>),
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lost = seat.as_ref().map(Seat::lost).unwrap_or_default();
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        if let Some(seat) = &seat {
            seat.asks();
            request.extensions_mut().insert(seat.clone());
        }
        let (answered, seat) = (service.call(request), seat.clone());
        async move {
            let answer = answered.await?;
            // One of unknown length goes on.
            if let Some(seat) = seat.filter(|_| answer.body().size_hint().exact().is_some()) {
                seat.rests();
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_limit)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = lost.cancelled() => {
            tracing::debug!("a connection that was silent made place for another");
            return;
        }
        () = draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use serde::Deserialize;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::error::{method_not_allowed, not_found};
    use super::super::extract::{JsonBody, Path, Query};
    use super::*;

    #[derive(Deserialize)]
    struct Number {
        number: Option<u8>,
    }

    fn router() -> Router {
        Router::new()
            .route("/path/{number}", get(async |Path(number): Path<u8>| number.to_string()))
            .route("/query", get(async |Query(it): Query<Number>| format!("{:?}", it.number)))
            .route("/body", post(async |JsonBody(it): JsonBody<Number>| format!("{:?}", it.number)))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
    }

    /// Status and body of one request.
    async fn ask(method: &str, path: &str, body: &str) -> (u16, String) {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        answer(server, router(), CancellationToken::new(), HEAD_LIMIT, (Peer::Socket, None)).await;
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn whatever_is_wrong_has_the_one_shape() {
        assert_eq!(ask("GET", "/path/7", "").await, (200, "7".to_owned()));
        assert_eq!(ask("GET", "/query?number=7", "").await, (200, "Some(7)".to_owned()));
        assert_eq!(ask("POST", "/body", "").await, (200, "None".to_owned()));
        for (method, path, body, status) in [
            ("GET", "/path/x", "", 400),
            ("GET", "/path/%ff", "", 400),
            ("GET", "/query?number=x", "", 400),
            ("POST", "/body", "{", 400),
            ("POST", "/body", "[]", 400),
            ("PUT", "/body", "", 405),
            ("GET", "/nowhere", "", 404),
        ] {
            let (found, text) = ask(method, path, body).await;
            assert_eq!(found, status, "{method} {path}");
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
            for key in ["id", "code", "message"] {
                assert!(answer["error"][key].is_string(), "{method} {path}: {text}");
            }
        }
    }

    #[tokio::test]
    async fn half_a_head_does_not_hold_the_end() {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(b"GET / HTTP/1.1\r\nhos").await.unwrap();
        let draining = CancellationToken::new();
        draining.cancel();
        let answered = answer(server, router(), draining, Duration::from_millis(100), (Peer::Socket, None));
        let ended = tokio::time::timeout(Duration::from_secs(5), answered).await;
        assert!(ended.is_ok());
        assert!(HEAD_LIMIT < crate::supervisor::DRAIN_LIMIT);
    }
}
