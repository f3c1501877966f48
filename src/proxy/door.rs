//! Who may look at a branch: asked before anything is told of it, and before anything counts or wakes.
//!
//! What lets in (a link, its cookie, a token, a password) is for the proxy alone: no container sees it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::BASE64;
use http::header::{
    AUTHORIZATION, HeaderName, LOCATION, REFERRER_POLICY, SET_COOKIE, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use sha2::{Digest, Sha256};

use super::answer::{self, AnswerBody};
use super::link;
use super::pages::{Pages, Reader};
use super::pass::Pass;
use super::round::Round;
use crate::domain::route::{Answer, Route};
use crate::domain::time::Timestamp;
use crate::domain::visitors::{Access, KnownTokens, LinkError, Links, Login, Place, Use};

/// Where a program puts its token.
pub(super) const TOKEN_HEADER: HeaderName = HeaderName::from_static("drey-token");
/// No token of the API is longer; what is longer is not even hashed.
const TOKEN_LIMIT: usize = 100;
/// Nor is a name with its password.
const LOGIN_LIMIT: usize = 1000;
/// Where those who give out certificates look whether a host is whose it claims to be (RFC 8555, 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Looks at whoever comes.
#[derive(Default)]
pub(super) struct Door {
    tokens: ArcSwap<KnownTokens>,
}

/// Who stands there, and when.
pub(super) struct Caller<'a> {
    /// `http` or `https`, as the browser knows it.
    pub(super) proto: &'static str,
    /// The host as the browser wrote it.
    pub(super) authority: &'a str,
    /// The same, canonical.
    pub(super) host: &'a str,
    pub(super) reader: Reader,
    /// All hosts of the branch; asked for only where a link leads in.
    pub(super) hosts: &'a dyn Fn() -> Vec<String>,
    pub(super) now: Timestamp,
}

/// What a request has to show.
enum Shown {
    Enough,
    /// A link that leads in until then.
    Link(Timestamp),
    Nothing,
    Refused(LinkError),
}

impl Door {
    /// From now on these tokens let in.
    pub(super) fn know(&self, tokens: KnownTokens) {
        self.tokens.store(Arc::new(tokens));
    }

    /// The answer to a request that goes no further; none when it may look. What let it in is taken off it.
    pub(super) fn stop<B>(
        &self,
        pages: &Pages,
        route: &Route,
        request: &mut Request<B>,
        caller: &Caller<'_>,
    ) -> Option<Response<AnswerBody>> {
        let shown = match &route.access {
            Access::Open => Shown::Enough,
            Access::Link(_) | Access::Basic(_) | Access::Token
                if self.has_token(request.headers(), caller.now) =>
            {
                Shown::Enough
            }
            Access::Link(links) => by_link(links, route, request, caller.now),
            Access::Basic(logins) if has_login(logins, request.headers()) => Shown::Enough,
            Access::Basic(_) | Access::Token => Shown::Nothing,
        };
        let pass = match shown {
            Shown::Enough => None,
            Shown::Link(until) => Some(until),
            Shown::Nothing if is_challenge(request, route) => None,
            Shown::Nothing => return Some(refused(pages, &route.access, None, caller.reader)),
            Shown::Refused(error) => {
                return Some(refused(pages, &route.access, Some(error), caller.reader));
            }
        };
        if matches!(route.access, Access::Basic(_)) {
            request.headers_mut().remove(AUTHORIZATION);
        }
        let without = link::without(request.uri())?;
        if is_navigation(request) {
            let cookie = pass.and_then(|until| cookie(route, until, caller));
            let location = if pass.is_some() { caller.next(request.uri(), &without) } else { without };
            return Some(elsewhere(location, cookie));
        }
        link::replace(request, &without);
        None
    }

    fn has_token(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let Some(token) = headers.get(TOKEN_HEADER).filter(|token| token.len() <= TOKEN_LIMIT) else {
            return false;
        };
        // It is looked for by its hash: how long that takes tells nothing of a token that is there.
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let tokens = self.tokens.load();
        tokens.get(&hash).is_some_and(|end| end.is_none_or(|end| end > now))
    }
}

impl Caller<'_> {
    /// Where a link leads from here.
    fn next(&self, uri: &Uri, without: &HeaderValue) -> HeaderValue {
        let Self { proto, authority, host, .. } = *self;
        let round = Round { proto, authority, host, hosts: (self.hosts)() };
        round.next(uri, link::given(uri).unwrap_or_default(), without)
    }
}

fn place(route: &Route) -> Place<'_> {
    Place { environment: route.environment, name: &route.name }
}

/// A link that is good counts more than a cookie: it may last longer.
fn by_link<B>(links: &Links, route: &Route, request: &Request<B>, now: Timestamp) -> Shown {
    let read = |what, text: &str| links.read(what, place(route), text, now);
    let link = link::given(request.uri()).map(|text| read(Use::Link, text));
    if let Some(Ok(until)) = link {
        return Shown::Link(until);
    }
    if Pass::all(request.headers()).any(|cookie| read(Use::Cookie, cookie).is_ok()) {
        return Shown::Enough;
    }
    match link {
        Some(Err(error)) => Shown::Refused(error),
        Some(Ok(_)) | None => Shown::Nothing,
    }
}

fn has_login(logins: &[Login], headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else { return false };
    let decoded = given.to_str().ok().filter(|text| text.len() <= LOGIN_LIMIT).and_then(|text| {
        let (scheme, login) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(login.trim().as_bytes()).ok())?
    });
    decoded.is_some_and(|login| Login::is_among(logins, &login))
}

/// Whoever asks there looks at no branch: for one token (RFC 8555, 8.3), by no way that leads elsewhere for a server that reads
/// paths in its own manner.
fn is_for_challenges(uri: &Uri) -> bool {
    let is_token = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    uri.path().strip_prefix(CHALLENGES).is_some_and(is_token)
}

/// A challenge is for whoever answers there; a page would tell how the branch stands.
fn is_challenge<B>(request: &Request<B>, route: &Route) -> bool {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_bare = request.uri().query().is_none() && !request.headers().contains_key(UPGRADE);
    looks && is_bare && is_for_challenges(request.uri()) && matches!(route.answer, Answer::Proxy(_))
}

/// Of these a browser follows a redirect and keeps its cookie.
fn is_navigation<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) && !request.headers().contains_key(UPGRADE)
}

fn cookie(route: &Route, until: Timestamp, caller: &Caller<'_>) -> Option<HeaderValue> {
    let Access::Link(links) = &route.access else { return None };
    let signed = links.sign(Use::Cookie, place(route), until);
    Pass::set(&signed.text, until.since(caller.now), caller.proto == "https")
}

/// On to an address without what let in, so that nobody passes it on by mistake.
fn elsewhere(location: HeaderValue, cookie: Option<HeaderValue>) -> Response<AnswerBody> {
    let mut response = answer::text(StatusCode::SEE_OTHER, "This way.");
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(cookie) = cookie {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

fn refused(pages: &Pages, access: &Access, link: Option<LinkError>, reader: Reader) -> Response<AnswerBody> {
    const ASK: &str = "Whoever pushes to it sees one in the answer to the push, and \"drey env url --link \
                       REPO/BRANCH\" prints one. A program shows an API token in the header Drey-Token.";
    let (status, why) = match (access, link) {
        (Access::Basic(_), _) => (
            StatusCode::UNAUTHORIZED,
            "Sign in with the name and the password that you were given. A program may show an API token in the \
             header Drey-Token instead."
                .to_owned(),
        ),
        (Access::Link(_) | Access::Open, None) => {
            (StatusCode::FORBIDDEN, format!("It is for those who have a link. {ASK}"))
        }
        (Access::Link(_) | Access::Open, Some(LinkError::Expired)) => {
            (StatusCode::FORBIDDEN, format!("The link has expired: ask for a new one. {ASK}"))
        }
        (Access::Link(_) | Access::Open, Some(LinkError::Wrong)) => {
            (StatusCode::FORBIDDEN, format!("The link is damaged, or it is for another branch. {ASK}"))
        }
        (Access::Token, _) => (
            StatusCode::FORBIDDEN,
            "It is for programs that show an API token in the header Drey-Token; \"drey token create\" makes one."
                .to_owned(),
        ),
    };
    let mut response = pages.not_for_everybody(status, &why, reader);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"branch\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
