//! Cookies of a branch stay with its host: all branches are siblings under one domain, and a cookie for that domain would reach
//! every one of them.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

/// Takes `Domain` off every cookie that is set: then it is the host's own (RFC 6265, 5.3).
pub(super) fn keep_to_host(headers: &mut HeaderMap) {
    if !headers.get_all(SET_COOKIE).iter().any(has_domain) {
        return;
    }
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().filter_map(of_the_host).collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
}

fn has_domain(cookie: &HeaderValue) -> bool {
    attributes(cookie).any(is_domain)
}

/// All but the name and its value.
fn attributes(cookie: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    cookie.as_bytes().split(|byte| *byte == b';').skip(1)
}

fn is_domain(attribute: &[u8]) -> bool {
    let name = attribute.split(|byte| *byte == b'=').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(b"domain")
}

/// None where it is no header any more, which taking a part off cannot bring about.
fn of_the_host(cookie: &HeaderValue) -> Option<HeaderValue> {
    let mut bytes = cookie.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
    for attribute in attributes(cookie).filter(|attribute| !is_domain(attribute)) {
        bytes.push(b';');
        bytes.extend_from_slice(attribute);
    }
    let mut value = HeaderValue::from_bytes(&bytes).ok()?;
    value.set_sensitive(cookie.is_sensitive());
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(cookies: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        keep_to_host(&mut headers);
        headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_cookie_is_for_its_host_alone() {
        assert_eq!(kept(&["a=1; Domain=qa.example; Path=/"]), ["a=1; Path=/"]);
        assert_eq!(kept(&["a=1;DOMAIN = .qa.example ; Secure", "b=2"]), ["a=1; Secure", "b=2"]);
        assert_eq!(kept(&["a=1; domain=a; Domain=b; domain"]), ["a=1"]);
        assert_eq!(
            kept(&["a=domain=x; Path=/domain", "__Host-b=2; Secure; Path=/"]),
            ["a=domain=x; Path=/domain", "__Host-b=2; Secure; Path=/"]
        );
        assert_eq!(
            kept(&["domain=qa.example; x-domain=1; HttpOnly"]),
            ["domain=qa.example; x-domain=1; HttpOnly"]
        );
        assert_eq!(kept(&[]), Vec::<String>::new());
    }
}
