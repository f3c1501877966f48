//! One request to one container, and its answer back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::uri::{PathAndQuery, Scheme as UriScheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::Instant;

use super::answer::AnswerBody;
use super::body::RequestBody;
use super::connection::ConnectionInfo;
use super::headers;
use super::pool::{Lease, Pool, SendFailure};
use super::tally::Tally;
use super::upgrade::{self, Tunnel, Wanted};
use super::visits::Visits;
use crate::supervisor::Supervisor;

/// A client's request made ready for a container; may be tried more than once, before anything of it was sent.
pub(super) struct Outgoing {
    request: Request<RequestBody>,
    authority: HeaderValue,
    wanted: Option<Wanted>,
}

/// Who is told of a tunnel.
pub(super) struct TunnelHouse<'a> {
    pub(super) client: &'a Arc<ConnectionInfo>,
    pub(super) visits: &'a Arc<Visits>,
    pub(super) tally: &'a Arc<Tally>,
    pub(super) supervisor: &'a Supervisor,
    /// How long a tunnel may go on when the daemon drains.
    pub(super) grace: Duration,
}

/// Why a container's answer cannot be passed on.
#[derive(Debug, Error)]
pub(super) enum Unreachable {
    #[error("it takes no connection: {0}")]
    Connect(#[from] io::Error),
    #[error("the connection broke before an answer: {0}")]
    Broken(#[from] hyper::Error),
    #[error("it switches to a protocol nobody asked for")]
    WrongUpgrade,
}

/// Nothing came back. With the request, where it may be tried elsewhere or later.
pub(super) struct NoAnswer {
    pub(super) outgoing: Option<Outgoing>,
    pub(super) why: Unreachable,
    /// The request's body failed on the client's side: the container had nothing to answer.
    pub(super) is_clients_fault: bool,
}

impl Outgoing {
    /// Takes the client's request apart. `authority` is the host as the client wrote it.
    pub(super) fn new(
        mut request: Request<Incoming>,
        authority: HeaderValue,
        client: &ConnectionInfo,
    ) -> Self {
        let wanted = upgrade::wanted(&mut request);
        let (parts, body) = request.into_parts();
        let mut request = Request::new(RequestBody::from_client(body));
        *request.method_mut() = parts.method;
        *request.uri_mut() = parts.uri;
        *request.headers_mut() = parts.headers;
        headers::to_upstream(request.headers_mut(), &authority, client);
        if let Some(wanted) = &wanted {
            wanted.ask(request.headers_mut());
        }
        Self { request, authority, wanted }
    }

    /// Sends it and waits for the head of the answer. A new connection must be there by `connect_by`.
    pub(super) async fn send(
        mut self,
        pool: &Arc<Pool>,
        connect_by: Option<Instant>,
        house: &TunnelHouse<'_>,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        self.address(pool.speaks_http2());
        let (upload, asked_at) = (self.request.body().upload(), Instant::now());
        let sent = if self.wanted.is_some() {
            pool.send_fresh(self.request, connect_by).await
        } else {
            pool.send(self.request, connect_by).await
        };
        match sent {
            Ok((response, lease)) => {
                let answered = received(response, lease, self.wanted, house)?;
                Ok(answered.map(|body| body.asked(asked_at, upload)))
            }
            Err(SendFailure::Unreached(request, error)) => {
                let outgoing = Some(Self { request, authority: self.authority, wanted: self.wanted });
                Err(NoAnswer { outgoing, why: error.into(), is_clients_fault: false })
            }
            Err(SendFailure::Unanswered(request, error)) => {
                let outgoing =
                    request.map(|request| Self { request, authority: self.authority, wanted: self.wanted });
                Err(NoAnswer { outgoing, why: error.into(), is_clients_fault: upload.has_failed() })
            }
        }
    }

    /// HTTP/1 takes the path alone, HTTP/2 the whole address.
    fn address(&mut self, http2: bool) {
        let request = &mut self.request;
        *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        if !http2 && request.uri().authority().is_none() {
            return;
        }
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path);
        if http2 {
            parts.scheme = Some(UriScheme::HTTP);
            parts.authority = self.authority.to_str().ok().and_then(|authority| authority.parse().ok());
            request.headers_mut().remove(http::header::HOST);
            if let Some(wanted) = self.wanted.take() {
                drop(wanted);
                headers::strip_hop_by_hop(request.headers_mut());
            }
        } else {
            request.headers_mut().insert(http::header::HOST, self.authority.clone());
        }
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

fn received(
    mut response: Response<Incoming>,
    lease: Option<Lease>,
    wanted: Option<Wanted>,
    house: &TunnelHouse<'_>,
) -> Result<Response<AnswerBody>, NoAnswer> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        headers::from_upstream(response.headers_mut());
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        return Ok(Response::from_parts(parts, AnswerBody::streamed(body, lease)));
    }
    let Some(wanted) = wanted.filter(|wanted| wanted.is_granted(&response)) else {
        return Err(NoAnswer { outgoing: None, why: Unreachable::WrongUpgrade, is_clients_fault: false });
    };
    let container = hyper::upgrade::on(&mut response);
    let protocol = response.headers().get(UPGRADE).cloned();
    headers::from_upstream(response.headers_mut());
    let mut answer = Response::new(AnswerBody::whole(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        answer.headers_mut().insert(UPGRADE, protocol);
    }
    let tunnel = Tunnel {
        wanted,
        container,
        client: house.client.clone(),
        visit: house.visits.begin().into_tunnel(),
        tally: house.tally.clone(),
        grace: house.grace,
    };
    tunnel.run(house.supervisor);
    Ok(answer)
}
