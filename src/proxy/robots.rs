//! `/robots.txt` of every host: no search engine is to walk through branches.

use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::answer::{self, AnswerBody};

/// Nobody, nowhere (RFC 9309, 2.2).
const RULES: &str = "User-agent: *\nDisallow: /\n";

/// The answer to a robot that asks what it may; none to everybody else.
pub(super) fn answer<B>(request: &Request<B>) -> Option<Response<AnswerBody>> {
    let asks =
        matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/robots.txt";
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    asks.then(|| answer::with_content(StatusCode::OK, plain, RULES))
}
