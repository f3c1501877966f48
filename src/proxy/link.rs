//! The part of an address that lets in, `?drey=…`: found, and taken off.

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri};

use crate::domain::visitors::{LINK_PARAMETER, is_signature};

/// What stands where a link would.
pub(super) fn given(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(value)
}

/// Path and query without every link in it; none where there is none. An application may have a parameter of the same
/// name: only what has the form of a link is one.
pub(super) fn without(uri: &Uri) -> Option<HeaderValue> {
    let is_link = |part: &str| value(part).is_some_and(is_signature);
    let query = uri.query()?;
    if !query.split('&').any(is_link) {
        return None;
    }
    let rest: Vec<&str> = query.split('&').filter(|part| !is_link(part)).collect();
    let (path, rest) = (uri.path(), rest.join("&"));
    // `//host` and `/\host` would lead a browser to another host.
    let dot = if path.starts_with("//") || path.starts_with("/\\") { "/." } else { "" };
    let mark = if rest.is_empty() { "" } else { "?" };
    HeaderValue::try_from(format!("{dot}{path}{mark}{rest}")).ok()
}

/// Puts the request to the address without its link.
pub(super) fn replace<B>(request: &mut Request<B>, without: &HeaderValue) {
    let mut parts = request.uri().clone().into_parts();
    let text = without.as_bytes().strip_prefix(b"/.").filter(|rest| rest.starts_with(b"/"));
    let path = PathAndQuery::try_from(text.unwrap_or(without.as_bytes())).ok();
    parts.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

fn value(part: &str) -> Option<&str> {
    part.strip_prefix(LINK_PARAMETER)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "1780000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn taken_off(address: &str) -> Option<String> {
        let uri: Uri = address.replace("LINK", LINK).parse().unwrap();
        without(&uri).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_rest_of_the_address_stays() {
        for (address, rest) in [
            ("/?drey=LINK", "/"),
            ("/a/b?drey=LINK&x=1&y", "/a/b?x=1&y"),
            ("/a?x=1&drey=LINK&drey=LINK&y=", "/a?x=1&y="),
            ("https://x.qa.example/a?x=drey&drey=LINK", "/a?x=drey"),
            ("//evil.example/a?drey=LINK", "/.//evil.example/a"),
            ("/\\evil.example?drey=LINK", "/./\\evil.example"),
        ] {
            assert_eq!(taken_off(address).as_deref(), Some(rest), "{address}");
        }
        for none in
            ["/", "/?", "/?drey=", "/?drey=LINKx", "/?xdrey=LINK", "/?drey", "/drey=LINK", "/?a=1&drey=5.b"]
        {
            assert_eq!(taken_off(none), None, "{none}");
        }
    }

    #[test]
    fn a_request_goes_on_without_its_link() {
        for (address, rest) in [
            ("https://x.qa.example/a?drey=LINK&x=1", "https://x.qa.example/a?x=1"),
            ("/?drey=LINK", "/"),
            ("//a/b?drey=LINK", "//a/b"),
            ("/.a?drey=LINK", "/.a"),
        ] {
            let mut request = Request::post(address.replace("LINK", LINK)).body(()).unwrap();
            let text = without(request.uri()).unwrap();
            replace(&mut request, &text);
            assert_eq!(request.uri().to_string(), rest, "{address}");
        }
    }
}
