//! Accepts connections and answers them, each in a task of its own.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::supervisor::Supervisor;

use super::access::Peer;

/// How long a client may take for the head of a request; well below what the daemon's end waits.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Pause after `accept` failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that connections come from.
pub(super) trait Listener: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, address) = self.accept().await?;
        stream.set_nodelay(true).ok();
        Ok((stream, Peer::Tcp(address.ip().to_canonical())))
    }
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<(Self::Stream, Peer)> {
        self.accept().await.map(|(stream, _address)| (stream, Peer::Socket))
    }
}

/// Serves until the daemon drains.
pub(super) async fn serve<L: Listener>(listener: L, router: Router, supervisor: Supervisor) {
    let draining = supervisor.draining();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => return,
            accepted = listener.next() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let service = (router.clone(), peer);
                supervisor.spawn("request", answer(stream, service, draining.clone(), HEAD_LIMIT));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer<S>(
    stream: S,
    (router, peer): (Router, Peer),
    draining: CancellationToken,
    head_limit: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_limit)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
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
        answer(server, (router(), Peer::Socket), CancellationToken::new(), HEAD_LIMIT).await;
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
        let answered = answer(server, (router(), Peer::Socket), draining, Duration::from_millis(100));
        let ended = tokio::time::timeout(Duration::from_secs(5), answered).await;
        assert!(ended.is_ok());
        assert!(HEAD_LIMIT < crate::supervisor::DRAIN_LIMIT);
    }
}
