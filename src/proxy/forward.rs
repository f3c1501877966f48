//! One request to one container, and its answer back.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::uri::{PathAndQuery, Scheme as UriScheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::Instant;

use super::answer::AnswerBody;
use super::body::{RequestBody, Upload};
use super::connection::ConnectionInfo;
use super::fleet::Fleet;
use super::pool::{Lease, Pool};
use super::repeat::SendFailure;
use super::standing::Busy;
use super::tally::Tally;
use super::upgrade::{self, Tunnel, Wanted};
use super::visits::Visits;
use super::{headers, patience, upstream_tls};
use crate::domain::path::PathPrefix;
use crate::domain::route::Scheme;
use crate::supervisor::Supervisor;

/// A client's request made ready for a container; may be tried more than once, before anything of it was sent.
pub(super) struct Outgoing {
    request: Request<RequestBody>,
    authority: HeaderValue,
    wanted: Option<Wanted>,
    /// What the client asked for, where something was taken off its path.
    asked: Option<Box<Uri>>,
}

/// Who is told of a tunnel.
pub(super) struct TunnelHouse<'a> {
    pub(super) client: &'a Arc<ConnectionInfo>,
    pub(super) visits: &'a Arc<Visits>,
    pub(super) tally: &'a Arc<Tally>,
    pub(super) supervisor: &'a Supervisor,
    /// How long a tunnel may go on when the daemon drains.
    pub(super) grace: Duration,
    /// How long the head of an answer may take, where the service says nothing of it.
    pub(super) timeout: Option<Duration>,
}

/// Why a container's answer cannot be passed on.
#[derive(Debug, Error)]
pub(super) enum Unreachable {
    #[error("it takes no connection: {0}")]
    Connect(#[from] io::Error),
    #[error("the connection broke before an answer: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the connection broke after the TLS handshake and before an answer: {0}")]
    BrokenTls(hyper::Error),
    #[error("it switches to a protocol nobody asked for")]
    WrongUpgrade,
    #[error("it gave no answer within {} s", .0.as_secs_f64())]
    TooLate(Duration),
    #[error("it was put to sleep before it answered")]
    LaidDown,
}

impl Unreachable {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLate(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::LaidDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Connect(_) | Self::Broken(_) | Self::BrokenTls(_) | Self::WrongUpgrade => {
                StatusCode::BAD_GATEWAY
            }
        }
    }

    /// What a visitor may be told of it.
    pub(super) fn told(&self) -> Option<String> {
        match self {
            Self::TooLate(_) => Some(self.to_string()),
            Self::Connect(error) => upstream_tls::fault(error).or_else(|| labels_fault(error)),
            Self::BrokenTls(error) => {
                upstream_tls::fault(error).or_else(|| Some(MAY_WANT_CERTIFICATE.to_owned()))
            }
            Self::Broken(_) | Self::WrongUpgrade | Self::LaidDown => None,
        }
    }
}

/// The alert that would say so is lost where a server closes at once.
const MAY_WANT_CERTIFICATE: &str = "The connection broke right after the TLS handshake. A service that wants a client \
    certificate does this: drey.upstream.client-cert names the secret that holds one.";

/// What is wrong with the labels themselves, or the secrets that they name.
fn labels_fault(error: &io::Error) -> Option<String> {
    let text = error.to_string();
    text.starts_with("drey.upstream.").then_some(text)
}

/// Nothing came back. With the request, where it may be tried elsewhere or later.
pub(super) struct NoAnswer {
    pub(super) outgoing: Option<Box<Outgoing>>,
    pub(super) why: Unreachable,
    /// The request's body failed on the client's side: the container had nothing to answer.
    pub(super) is_clients_fault: bool,
    /// When a container was asked, and what it got; none where there was none to ask.
    pub(super) since: Option<(Instant, Upload)>,
}

impl NoAnswer {
    /// Its container is frozen: it must not be asked again, for that would wake it.
    pub(super) fn laid_down() -> Self {
        Self { outgoing: None, why: Unreachable::LaidDown, is_clients_fault: false, since: None }
    }
}

impl Outgoing {
    /// Takes the client's request apart. `authority` is the host as the client wrote it. In a box: it is handed on many
    /// times.
    pub(super) fn new(
        mut request: Request<Incoming>,
        authority: HeaderValue,
        client: &ConnectionInfo,
    ) -> Box<Self> {
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
        Box::new(Self { request, authority, wanted, asked: None })
    }

    /// The path that the client asked for.
    pub(super) fn path(&self) -> &str {
        self.asked.as_deref().unwrap_or(self.request.uri()).path()
    }

    /// The same as the service sees it that is reached below the prefix; none: as the client asked.
    pub(super) fn below(mut self: Box<Self>, prefix: Option<&PathPrefix>) -> Box<Self> {
        if let Some(asked) = self.asked.take() {
            self.request.headers_mut().remove(headers::X_FORWARDED_PREFIX);
            *self.request.uri_mut() = *asked;
        }
        let Some(prefix) = prefix else { return self };
        let rest = self.request.uri().path_and_query().and_then(|asked| prefix.strip(asked.as_str()));
        let Some(rest) = rest.and_then(|rest| PathAndQuery::try_from(rest).ok()) else { return self };
        let mut parts = self.request.uri().clone().into_parts();
        parts.path_and_query = Some(rest);
        if let (Ok(uri), Ok(value)) = (Uri::from_parts(parts), HeaderValue::from_str(prefix.as_str())) {
            self.asked = Some(Box::new(std::mem::replace(self.request.uri_mut(), uri)));
            self.request.headers_mut().insert(headers::X_FORWARDED_PREFIX, value);
        }
        self
    }

    /// Sends it and waits for the head of the answer. A container that takes no connection is passed over, where there
    /// are others. A new connection must be there by `connect_by`.
    pub(super) async fn send(
        self: Box<Self>,
        fleet: &Fleet,
        connect_by: Option<Instant>,
        house: &TunnelHouse<'_>,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let mut outgoing = self;
        let Some(mut tries) = fleet.tries(outgoing.request.headers()) else {
            return Err(outgoing.unreached(io::ErrorKind::AddrNotAvailable.into()));
        };
        let timeout = fleet.timeout.or(house.timeout);
        loop {
            let sending = Sending { house, busy: tries.occupy(), timeout };
            match outgoing.send_to(tries.pool(), connect_by, sending).await {
                Ok(mut response) => {
                    tries.mark(response.headers_mut(), house.client.is_secure);
                    return Ok(response);
                }
                Err(NoAnswer {
                    outgoing: Some(again), why: why @ Unreachable::Connect(_), since, ..
                }) => {
                    tracing::debug!(error = %why, "a container takes no connection");
                    if !tries.refused() {
                        return Err(NoAnswer { outgoing: Some(again), why, is_clients_fault: false, since });
                    }
                    outgoing = again;
                }
                Err(failed) => return Err(failed),
            }
        }
    }

    async fn send_to(
        mut self: Box<Self>,
        pool: &Arc<Pool>,
        connect_by: Option<Instant>,
        sending: Sending<'_>,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let (upload, asked_at) = (self.request.body().upload(), Instant::now());
        let since = || Some((asked_at, upload.clone()));
        let http2 = match pool.speaks_http2(self.wanted.is_some(), connect_by).await {
            Ok(http2) => http2,
            Err(error) => return Err(NoAnswer { since: since(), ..self.unreached(error) }),
        };
        self.address(http2, pool.scheme());
        let Self { request, authority, wanted, asked } = *self;
        let is_upgrade = wanted.is_some();
        let sent = pin!(async {
            match is_upgrade {
                true => Box::pin(pool.send_fresh(request, connect_by)).await,
                false => pool.send(request, connect_by).await,
            }
        });
        let sent = match patience::within(sending.timeout, &upload, sent).await {
            Ok(sent) => sent,
            Err(limit) => {
                let why = Unreachable::TooLate(limit);
                return Err(NoAnswer { outgoing: None, why, is_clients_fault: false, since: since() });
            }
        };
        match sent {
            Ok((response, lease)) => {
                let answered = received(response, lease, wanted, sending)
                    .map_err(|failed| NoAnswer { since: since(), ..failed })?;
                Ok(answered.map(|body| body.asked(since())))
            }
            Err(SendFailure::Unreached(request, error)) => {
                let outgoing = Some(Box::new(Self { request, authority, wanted, asked }));
                Err(NoAnswer { outgoing, why: error.into(), is_clients_fault: false, since: since() })
            }
            Err(SendFailure::Unanswered(request, error)) => {
                let outgoing = request.map(|request| Box::new(Self { request, authority, wanted, asked }));
                let why = match pool.scheme() {
                    Scheme::Https => Unreachable::BrokenTls(error),
                    Scheme::Http | Scheme::H2c | Scheme::Tcp => error.into(),
                };
                Err(NoAnswer { outgoing, why, is_clients_fault: upload.has_failed(), since: since() })
            }
        }
    }

    fn unreached(self: Box<Self>, error: io::Error) -> NoAnswer {
        NoAnswer { outgoing: Some(self), why: error.into(), is_clients_fault: false, since: None }
    }

    /// HTTP/1 takes the path alone, HTTP/2 the whole address.
    fn address(&mut self, http2: bool, scheme: Scheme) {
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
            parts.scheme = Some(if scheme == Scheme::Https { UriScheme::HTTPS } else { UriScheme::HTTP });
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

/// What goes with a request while it is under way.
struct Sending<'a> {
    house: &'a TunnelHouse<'a>,
    busy: Option<Busy>,
    timeout: Option<Duration>,
}

fn received(
    mut response: Response<Incoming>,
    lease: Option<Lease>,
    wanted: Option<Wanted>,
    Sending { house, busy, .. }: Sending<'_>,
) -> Result<Response<AnswerBody>, NoAnswer> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        headers::from_upstream(response.headers_mut());
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        return Ok(Response::from_parts(parts, AnswerBody::streamed(body, lease).occupying(busy)));
    }
    let Some(wanted) = wanted.filter(|wanted| wanted.is_granted(&response)) else {
        let why = Unreachable::WrongUpgrade;
        return Err(NoAnswer { outgoing: None, why, is_clients_fault: false, since: None });
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
        leave: house.visits.leave(),
        tally: house.tally.clone(),
        grace: house.grace,
        busy,
    };
    tunnel.run(house.supervisor);
    Ok(answer)
}
