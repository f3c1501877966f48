//! Which headers pass, and which are made anew.

use http::header::{CONNECTION, COOKIE, FORWARDED, HOST, TE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::connection::ConnectionInfo;
use super::forwarded::Told;
use super::pass::Pass;
use super::{cookies, host};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Set where a part of the path was taken off.
pub(super) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// What the proxy adds to a request.
const OWN_HEADERS: usize = 7;
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// Prepares a client's headers for the container: hop-by-hop headers and everything that only a proxy may say go,
/// the proxy's own word comes, beside that of a trusted proxy before it. `authority` is the host as the client wrote it.
pub(super) fn to_upstream(headers: &mut HeaderMap, authority: &HeaderValue, client: &ConnectionInfo) {
    let told = Told::take(headers, client);
    let wants_trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
    remove_listed(headers);
    remove_where(headers, |name| is_hop_by_hop(name) || is_for_proxies(name));
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Pass::take_off(headers);
    join_cookies(headers);
    headers.reserve(OWN_HEADERS);
    headers.insert(X_FORWARDED_FOR, client.address.clone());
    headers.insert(X_REAL_IP, client.address.clone());
    headers.insert(X_FORWARDED_HOST, authority.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto(client)));
    headers.insert(X_FORWARDED_PORT, forwarded_port(authority, client));
    if let Some(forwarded) = forwarded(authority, client) {
        headers.insert(FORWARDED, forwarded);
    }
    headers.insert(HOST, authority.clone());
    if let Some(told) = told {
        told.put_back(headers, client);
    }
}

/// Prepares a container's headers for the client: hop-by-hop headers go, cookies stay with their host, and no search engine
/// is to list a branch, unless the application itself says something to search engines.
pub(super) fn from_upstream(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    cookies::keep_to_host(headers);
    headers.entry(X_ROBOTS_TAG).or_insert(HeaderValue::from_static("noindex"));
}

/// Takes off what belongs to one connection only (RFC 9110, 7.6.1), the names listed in `Connection` among it.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    remove_listed(headers);
    remove_where(headers, is_hop_by_hop);
}

fn remove_listed(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in listed_in_connection(headers) {
            headers.remove(name);
        }
    }
}

/// Whether a header that is a list has this token.
pub(super) fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
}

pub(super) fn proto(client: &ConnectionInfo) -> &'static str {
    if client.is_secure { "https" } else { "http" }
}

/// The same, as a browser sees it: a trusted proxy before this one may have taken the TLS off.
pub(super) fn proto_before(client: &ConnectionInfo, headers: &HeaderMap) -> &'static str {
    let said = headers.get_all(X_FORWARDED_PROTO).iter().next_back().filter(|_| client.trusted.is_some());
    let last = said.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit(',').next());
    match last.map(str::trim) {
        Some("https") => "https",
        Some("http") => "http",
        Some(_) | None => proto(client),
    }
}

/// A name there may be a header of ours, or one the answer depends on: `Connection: host` must not remove it.
fn listed_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|name| !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("close"))
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "http2-settings"
    )
}

/// `Proxy` becomes a variable that CGI programs take for their own proxy. `Expect` was answered here already. Such
/// programs also take `_` for `-`: a name that is one of these then is one.
fn is_for_proxies(name: &HeaderName) -> bool {
    match name.as_str() {
        "forwarded" | "expect" | "proxy" => true,
        text if text.starts_with('x') => {
            begins(text, "x-forwarded-")
                || begins(text, "x-drey-")
                || (text.len() == "x-real-ip".len() && begins(text, "x-real-ip"))
        }
        text => text.len() == "drey-token".len() && begins(text, "drey-token"),
    }
}

/// Whether `text` begins with `start`, with `_` in it read as `-`.
fn begins(text: &str, start: &str) -> bool {
    let alike = |(byte, wanted): (u8, u8)| byte == wanted || (byte == b'_' && wanted == b'-');
    text.len() >= start.len() && text.bytes().zip(start.bytes()).all(alike)
}

fn remove_where(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    // Mostly there is none or one: no list is made for them.
    while let Some(name) = headers.keys().find(|name| unwanted(name)).cloned() {
        headers.remove(name);
    }
}

/// HTTP/2 may send cookies one by one, HTTP/1.1 must not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn forwarded_port(authority: &HeaderValue, client: &ConnectionInfo) -> HeaderValue {
    let default = HeaderValue::from_static(if client.is_secure { "443" } else { "80" });
    let port = authority.to_str().ok().and_then(host::port);
    port.and_then(|port| HeaderValue::from_str(port).ok()).unwrap_or(default)
}

fn forwarded(authority: &HeaderValue, client: &ConnectionInfo) -> Option<HeaderValue> {
    let host = authority.to_str().ok()?;
    // Put together by hand: this is done for each request.
    let text = ["for=", &client.forwarded_node, ";host=\"", host, "\";proto=", proto(client)].concat();
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn client(address: &str) -> ConnectionInfo {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        ConnectionInfo::new(address.parse().unwrap(), true, permit)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_the_proxy_says_who_the_client_is() {
        let spoofed = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "ftp"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-prefix", "/evil"),
            ("x-forwarded-server", "evil"),
            ("x-real-ip", "1.1.1.1"),
            // Servers behind may read `_` as `-`: CGI, WSGI and Rack do.
            ("x_forwarded_for", "1.1.1.1"),
            ("x_forwarded-proto", "ftp"),
            ("x-real_ip", "1.1.1.1"),
            ("x_drey_environment", "1"),
            ("forwarded", "for=1.1.1.1"),
            ("proxy", "http://evil"),
            ("x-drey-environment", "1"),
            ("drey-token", "drey_x"),
            ("drey_token", "drey_x"),
            ("accept", "*/*"),
        ];
        let mut headers = headers(&spoofed);
        to_upstream(&mut headers, &HeaderValue::from_static("a.b:8443"), &client("[2001:db8::1]:9"));
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "accept: */*",
                "forwarded: for=\"[2001:db8::1]\";host=\"a.b:8443\";proto=https",
                "host: a.b:8443",
                "x-forwarded-for: 2001:db8::1",
                "x-forwarded-host: a.b:8443",
                "x-forwarded-port: 8443",
                "x-forwarded-proto: https",
                "x-real-ip: 2001:db8::1",
            ]
        );
    }

    #[test]
    fn what_belongs_to_a_connection_stays_on_it() {
        let mut headers = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "host, x-forwarded-for"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("host", "a.b"),
            ("trailer", "x-sum"),
        ]);
        to_upstream(&mut headers, &HeaderValue::from_static("a.b"), &client("[::ffff:10.0.0.1]:9"));
        for gone in ["connection", "x-secret", "keep-alive", "transfer-encoding", "upgrade", "http2-settings"]
        {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert!(!headers.contains_key("proxy-authorization") && !headers.contains_key("proxy-connection"));
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["trailer"], "x-sum");
        assert_eq!(headers["host"], "a.b");
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1");
        assert_eq!(headers["x-forwarded-port"], "443");
    }

    #[test]
    fn what_a_container_says_stays_with_its_host() {
        let mut answer = headers(&[("set-cookie", "a=1; Domain=qa.example"), ("keep-alive", "timeout=5")]);
        from_upstream(&mut answer);
        assert_eq!(answer, headers(&[("set-cookie", "a=1"), ("x-robots-tag", "noindex")]));
        let mut own = headers(&[("x-robots-tag", "none")]);
        from_upstream(&mut own);
        assert_eq!(own, headers(&[("x-robots-tag", "none")]));
    }

    #[test]
    fn cookies_become_one_line() {
        let mut headers = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
