//! Asks a service whether it answers, the way its visitors will.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, Response, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

use super::connect::{self, Dialed, PROBE_CONNECT_LIMIT};
use super::executor::{LocalTasks, drive};
use super::settings::ProxyError;
use super::upstream_tls::{self, Offer, TlsClient};
use crate::domain::route::{Scheme, Upstream};
use crate::ports::{PortError, PortResult, ProbeUrl, Prober};

/// Probes over HTTP/1.1 and HTTP/2, each with and without TLS, or TCP.
pub struct HttpProber {
    provider: Arc<CryptoProvider>,
    /// For containers whose labels say nothing of TLS.
    tls: Arc<TlsClient>,
}

impl HttpProber {
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn new() -> Result<Self, ProxyError> {
        let provider = Arc::new(ring::default_provider());
        let tls = Arc::new(TlsClient::new(None, &provider).map_err(ProxyError::Tls)?);
        Ok(Self { provider, tls })
    }

    fn client(&self, upstream: &Upstream) -> PortResult<Arc<TlsClient>> {
        let Some(labels) = &upstream.tls else { return Ok(self.tls.clone()) };
        TlsClient::new(Some(labels), &self.provider).map(Arc::new).map_err(PortError::Permanent)
    }
}

#[async_trait]
impl Prober for HttpProber {
    async fn probe(&self, upstream: &Upstream, url: &ProbeUrl, limit: Duration) -> PortResult<Option<u16>> {
        let asked = async {
            let client = self.client(upstream)?;
            let dialed = connect::connect(upstream, &client, Offer::Either, PROBE_CONNECT_LIMIT).await;
            let stream = dialed.map_err(|error| told(&error))?;
            match upstream.scheme {
                Scheme::Tcp => Ok(None),
                Scheme::Http => ask_http1(stream, url).await.map(Some),
                Scheme::Https if stream.is_http2() => ask_http2(stream, "https", url).await.map(Some),
                Scheme::Https => ask_http1(stream, url).await.map(Some),
                Scheme::H2c => ask_http2(stream, "http", url).await.map(Some),
            }
        };
        match tokio::time::timeout(limit, asked).await {
            Ok(result) => result,
            Err(_elapsed) => Err(PortError::Transient(format!("no answer within {} s", limit.as_secs()))),
        }
    }
}

async fn ask_http1(stream: Dialed, url: &ProbeUrl) -> PortResult<u16> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    let request = request(url, &url.path, Version::HTTP_11)?;
    first_answer(sender.send_request(request), connection).await
}

async fn ask_http2(stream: Dialed, scheme: &str, url: &ProbeUrl) -> PortResult<u16> {
    let tasks = LocalTasks::default();
    let (mut sender, connection) =
        http2::handshake(tasks.clone(), TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    let target = format!("{scheme}://{}{}", url.host, url.path);
    let request = request(url, &target, Version::HTTP_2)?;
    let driven = drive(connection, tasks, std::future::pending(), |_| {});
    first_answer(sender.send_request(request), driven).await
}

/// The answer's status. The connection may end in the very moment that brings the answer: the answer counts.
async fn first_answer(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> PortResult<u16> {
    let mut answer = std::pin::pin!(answer);
    let ended = tokio::select! {
        biased;
        answer = &mut answer => return Ok(answer.map_err(|error| told(&error))?.status().as_u16()),
        ended = connection => ended,
    };
    // Nobody drives the connection any more: the answer is there, or it fails at once.
    match answer.await {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(_) => Err(ended.err().map_or_else(closed, |error| told(&error))),
    }
}

fn request(url: &ProbeUrl, target: &str, version: Version) -> PortResult<Request<Empty<Bytes>>> {
    let mut request = Request::get(target)
        .version(version)
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, "drey-probe")
        .header("x-forwarded-proto", &url.proto)
        .header("x-forwarded-host", &url.host);
    if version != Version::HTTP_2 {
        request = request.header(HOST, &url.host);
    }
    request.body(Empty::new()).map_err(|error| PortError::Permanent(format!("{}: {error}", url.path)))
}

fn closed() -> PortError {
    PortError::Transient("the connection was closed without an answer".to_owned())
}

/// An error with its causes.
fn told(error: &(dyn std::error::Error + 'static)) -> PortError {
    if let Some(fault) = upstream_tls::fault(error) {
        return PortError::Transient(fault);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    PortError::Transient(text)
}
