//! Who asks, and whether they may: the socket's mode or a token, against the least role of the route.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::domain::access::{Role, Token};
use crate::domain::time::Timestamp;

use super::Web;
use super::border::Seat;
use super::error::ApiError;

/// What every token begins with, so that scanners of leaked secrets know one.
pub(super) const PREFIX: &str = "drey_";
/// No token is longer; what is longer is not even hashed.
const TOKEN_LIMIT: usize = 100;
/// Failed tries of one address within [`WINDOW`] that are answered with 401; the next ones get 429.
const FAILURES: u32 = 20;
/// How long failed tries are remembered.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; when there are more, all begin anew.
const ADDRESSES: usize = 10_000;

/// Where a connection comes from. The server says so, never the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// The unix socket: whoever may open it is admin.
    Socket,
    Tcp(IpAddr),
}

/// Who asks: the name of a token, or `socket`.
#[derive(Clone, Debug)]
pub(super) struct Asker(pub(super) String);

/// What whoever asks may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach(pub(super) Role);

/// Who may ask for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Least {
    Anyone,
    /// This role or a greater one; the socket has the greatest.
    Role(Role),
    /// Nobody by TCP, whatever their token.
    Socket,
}

impl Least {
    /// As the API's description says it.
    #[cfg(test)]
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Role(role) => role.word(),
            Self::Socket => "socket",
        }
    }
}

/// What a guard knows of its route.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) web: Web,
    pub(super) least: Least,
    pub(super) method: Method,
}

/// Lets a request pass to its route, or answers 401, 403 or 429.
pub(super) async fn admit(State(admission): State<Admission>, mut request: Request, next: Next) -> Response {
    if admission.least == Least::Anyone {
        return next.run(request).await;
    }
    match request.extensions().get::<Peer>() {
        Some(Peer::Socket) => {
            request.extensions_mut().insert(Asker("socket".to_owned()));
            request.extensions_mut().insert(Reach(Role::Admin));
            next.run(request).await
        }
        Some(Peer::Tcp(address)) => {
            let address = *address;
            match bearer(&admission, address, request.headers()).await {
                Ok(token) => {
                    if let Some(seat) = request.extensions().get::<Seat>() {
                        seat.admit();
                    }
                    if admission.method != Method::GET {
                        tell(&token, &request);
                    }
                    request.extensions_mut().insert(Asker(token.name.to_string()));
                    request.extensions_mut().insert(Reach(token.role));
                    next.run(request).await
                }
                Err(error) => error.into_response(),
            }
        }
        // Nobody said where it comes from.
        None => ApiError::no_token().into_response(),
    }
}

/// Whether whoever asks a route that is for anyone may hear names of branches there: on this machine itself, or with a token.
pub(super) async fn may_hear_names(web: &Web, peer: Option<Peer>, headers: &HeaderMap) -> bool {
    match peer {
        Some(Peer::Socket) => true,
        Some(Peer::Tcp(address)) if given(headers).is_some() => {
            let least = Least::Role(Role::Qa);
            let admission = Admission { web: web.clone(), least, method: Method::GET };
            bearer(&admission, address, headers).await.is_ok()
        }
        Some(Peer::Tcp(address)) => address.is_loopback() && !is_passed_on(headers),
        None => false,
    }
}

/// Whether a proxy says that somebody else asks.
pub(super) fn is_passed_on(headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    forwarded.iter().any(|name| headers.contains_key(*name))
}

/// The token that a request by TCP has, if it is enough.
async fn bearer(admission: &Admission, address: IpAddr, headers: &HeaderMap) -> Result<Token, ApiError> {
    let house = admission.web.inner.orchestrator.house();
    let now = house.ports.clock.now();
    let found = match given(headers) {
        Some(text) => house.store.token(&hash(text)).await?.filter(|token| token.is_good(now)),
        None => None,
    };
    let Some(token) = found else {
        let more = admission.web.inner.failures.count(address, now);
        return Err(if more { ApiError::no_token() } else { ApiError::too_many_tries() });
    };
    match admission.least {
        Least::Anyone => Ok(token),
        Least::Role(least) if token.role >= least => Ok(token),
        Least::Role(least) => Err(ApiError::forbidden(format!(
            "this needs the role {}; the token {} has {}",
            least.word(),
            token.name,
            token.role.word()
        ))),
        Least::Socket => Err(ApiError::forbidden(
            "this is done on the daemon's own machine only, through its socket".to_owned(),
        )),
    }
}

/// The token as it was sent; only what can be one.
fn given(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && is_one(token)).then_some(token)
}

/// Whether a text has the form of a token.
fn is_one(text: &str) -> bool {
    text.len() <= TOKEN_LIMIT && text.starts_with(PREFIX)
}

/// The hash of what somebody typed in, where that has the form of a token.
pub(super) fn hash_typed(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    is_one(text).then(|| hash(text))
}

/// A token is looked for by its hash: how long that takes tells nothing of a token that is there.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// What was done by whom is in the log.
fn tell(token: &Token, request: &Request) {
    tracing::info!(
        token.name = token.name.as_str(),
        token.role = token.role.word(),
        path = request.uri().path(),
        "the API was used"
    );
}

/// Failed tries of each address. A token cannot be guessed; what is bounded is how much a flood costs and is told, and a
/// good token passes at any time.
#[derive(Default)]
pub(super) struct Failures {
    tries: Mutex<BTreeMap<IpAddr, (Timestamp, u32)>>,
}

impl Failures {
    /// Counts a failed try of somebody who typed a token in; nothing is counted for those who use the socket.
    pub(super) fn allow(&self, peer: Peer, now: Timestamp) -> bool {
        match peer {
            Peer::Socket => true,
            Peer::Tcp(address) => self.count(address, now),
        }
    }

    /// Counts one; whether it is still answered as a single one.
    fn count(&self, address: IpAddr, now: Timestamp) -> bool {
        let mut tries = self.tries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tries.len() >= ADDRESSES && !tries.contains_key(&address) {
            tries.clear();
        }
        let (since, count) = tries.entry(address).or_insert((now, 0));
        if now.since(*since) >= WINDOW || now < *since {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        if *count == FAILURES + 1 {
            tracing::warn!(%address, "many requests without a good token; further ones get 429");
        }
        *count <= FAILURES
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn one_bearer_token_is_read_and_nothing_else() {
        assert_eq!(given(&headers(&["Bearer drey_abc"])), Some("drey_abc"));
        assert_eq!(given(&headers(&["bearer  drey_abc"])), Some("drey_abc"));
        let long = format!("Bearer drey_{}", "a".repeat(TOKEN_LIMIT));
        for bad in [
            &[][..],
            &["drey_abc"],
            &["Basic drey_abc"],
            &["Bearer abc"],
            &["Bearer "],
            &["Bearer drey_a", "Bearer drey_a"],
            &[long.as_str()],
        ] {
            assert_eq!(given(&headers(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn failed_tries_are_counted_by_address_and_forgotten() {
        let failures = Failures::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        assert!((0..FAILURES).all(|_| failures.count(one, at(0))));
        assert!(!failures.count(one, at(1)));
        assert!(failures.count(other, at(1)));
        assert!(failures.count(one, at(61)), "a minute later it begins anew");
        for number in 0..u32::try_from(ADDRESSES).unwrap() * 2 {
            failures.count(IpAddr::from(number.to_be_bytes()), at(0));
        }
        assert!(failures.tries.lock().unwrap().len() <= ADDRESSES);
    }
}
