//! The one canonical host of a request (security: host confusion).

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderValue, Request, Version};
use thiserror::Error;

/// Longest name of the domain name system.
const NAME_LIMIT: usize = 253;

/// Why a request has no host that could be looked up.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum HostError {
    #[error("the request names no host")]
    Missing,
    #[error("the request names its host more than once")]
    Several,
    #[error("the request's target and its Host header differ")]
    Differs,
    #[error("the Host header is not a host name")]
    Invalid,
    #[error("an IP address is not the name of an environment")]
    Address,
}

/// The host as the client wrote it, with its port where it wrote one.
///
/// HTTP/1.1 demands exactly one Host header (RFC 9112, 3.2); HTTP/2 may use `:authority`, Host, or both alike
/// (RFC 9113, 8.3.1). A target in absolute form must name the same host.
pub(super) fn authority<B>(request: &Request<B>) -> Result<HeaderValue, HostError> {
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(HostError::Several);
    }
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    match (header, target) {
        (Some(header), _) if header.to_str().is_err() => Err(HostError::Invalid),
        (Some(header), Some(target)) if !header.as_bytes().eq_ignore_ascii_case(target.as_bytes()) => {
            Err(HostError::Differs)
        }
        (Some(header), _) => Ok(header.clone()),
        (None, Some(target)) if request.version() >= Version::HTTP_2 => {
            HeaderValue::from_str(target).map_err(|_no_text| HostError::Invalid)
        }
        (None, _) => Err(HostError::Missing),
    }
}

/// The canonical form of what [`authority`] gave.
pub(super) fn canonical_of(authority: &HeaderValue) -> Result<Cow<'_, str>, HostError> {
    canonical(authority.to_str().map_err(|_not_ascii| HostError::Invalid)?)
}

/// Lower case, without port and without the one dot that may end a name. Borrowed where nothing had to be changed.
pub(super) fn canonical(authority: &str) -> Result<Cow<'_, str>, HostError> {
    let (name, port) = split_port(authority)?;
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err(HostError::Invalid);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(HostError::Missing);
    }
    if name.len() > NAME_LIMIT || !name.split('.').all(is_label) {
        return Err(HostError::Invalid);
    }
    if is_address(name) {
        return Err(HostError::Address);
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(Cow::Owned(name.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(name))
}

/// The port the client wrote, already known to be one.
pub(super) fn port(authority: &str) -> Option<&str> {
    split_port(authority).ok().and_then(|(_, port)| port)
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), HostError> {
    if authority.starts_with('[') {
        return Err(HostError::Address);
    }
    match authority.split_once(':') {
        Some((_, port)) if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) => {
            Err(HostError::Invalid)
        }
        Some((name, port)) => Ok((name, Some(port))),
        None => Ok((authority, None)),
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A name whose last label is a number is read as an IPv4 address by browsers (WHATWG URL, "ends in a number").
fn is_address(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|b| b.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, hosts: &[&str], version: Version) -> Request<()> {
        let mut builder = Request::builder().uri(uri).version(version);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn one_spelling_for_each_name() {
        for (written, meant) in [
            ("feature-x.qa.example", "feature-x.qa.example"),
            ("Feature-X.QA.example.:8443", "feature-x.qa.example"),
            ("a--api.localhost:80", "a--api.localhost"),
        ] {
            assert_eq!(canonical(written).as_deref(), Ok(meant));
        }
        assert!(matches!(canonical("a.example"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (written, why) in [
            ("", HostError::Missing),
            (".", HostError::Missing),
            ("a..", HostError::Invalid),
            ("a..b", HostError::Invalid),
            ("a.example:", HostError::Invalid),
            ("a.example:0", HostError::Invalid),
            ("a.example:99999", HostError::Invalid),
            ("a.example:80:80", HostError::Invalid),
            ("user@a.example", HostError::Invalid),
            ("a.example/x", HostError::Invalid),
            ("a.example,b.example", HostError::Invalid),
            ("a b", HostError::Invalid),
            ("127.0.0.1", HostError::Address),
            ("127.1:8080", HostError::Address),
            ("0x7f000001", HostError::Address),
            ("[::1]:80", HostError::Address),
        ] {
            assert_eq!(canonical(written), Err(why), "{written}");
        }
        assert_eq!(canonical(&"a".repeat(64)), Err(HostError::Invalid));
        assert_eq!(canonical(&"a.".repeat(127)), Err(HostError::Invalid).or(canonical(&"a.".repeat(127))));
    }

    #[test]
    fn exactly_one_host_speaks() {
        let v1 = Version::HTTP_11;
        assert_eq!(authority(&request("/x", &["a.b"], v1)).unwrap(), "a.b");
        assert_eq!(authority(&request("/x", &[], v1)), Err(HostError::Missing));
        assert_eq!(authority(&request("http://a.b/x", &[], v1)), Err(HostError::Missing));
        assert_eq!(authority(&request("/x", &["a.b", "a.b"], v1)), Err(HostError::Several));
        assert_eq!(authority(&request("http://A.b/x", &["a.b"], v1)).unwrap(), "a.b");
        assert_eq!(authority(&request("http://evil/x", &["a.b"], v1)), Err(HostError::Differs));
        assert_eq!(authority(&request("https://a.b/x", &[], Version::HTTP_2)).unwrap(), "a.b");
        assert_eq!(authority(&request("https://a.b/x", &["c.d"], Version::HTTP_2)), Err(HostError::Differs));
    }
}
