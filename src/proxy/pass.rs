//! The cookie of whoever came by a link: for this host alone, and for no container.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Over TLS: a browser takes it from this very host only, and sends it to no other (RFC 6265bis, 4.1.3.2).
const SECURE: &str = "__Host-drey-visitor";
/// In plain, where browsers refuse the other.
const PLAIN: &str = "drey-visitor";

/// The cookie, seen from a request.
pub(super) struct Pass;

impl Pass {
    /// Every one that the request has: a browser may have several, an old one among them.
    pub(super) fn all(headers: &HeaderMap) -> impl Iterator<Item = &str> {
        let parts =
            headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        parts.filter_map(|part| std::str::from_utf8(value(part)?).ok())
    }

    /// Sets it.
    pub(super) fn set(text: &str, last: Duration, is_secure: bool) -> Option<HeaderValue> {
        let (name, secure) = if is_secure { (SECURE, "; Secure") } else { (PLAIN, "") };
        let seconds = last.as_secs();
        let cookie = format!("{name}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::try_from(cookie).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Takes it off, whoever put it there; all other cookies stay as they are.
    pub(super) fn take_off(headers: &mut HeaderMap) {
        let has_one = |cookies: &HeaderValue| cookies.as_bytes().split(|byte| *byte == b';').any(is_pass);
        if !headers.get_all(COOKIE).iter().any(has_one) {
            return;
        }
        let kept: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(others).collect();
        headers.remove(COOKIE);
        for cookies in kept {
            headers.append(COOKIE, cookies);
        }
    }
}

fn others(cookies: &HeaderValue) -> Option<HeaderValue> {
    let parts = cookies.as_bytes().split(|byte| *byte == b';').filter(|part| !is_pass(part));
    let parts: Vec<&[u8]> = parts.map(<[u8]>::trim_ascii_start).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| HeaderValue::from_bytes(&parts.join(&b"; "[..])).ok())?
}

fn is_pass(part: &[u8]) -> bool {
    value(part).is_some()
}

fn value(part: &[u8]) -> Option<&[u8]> {
    let part = part.trim_ascii();
    let value = part.strip_prefix(SECURE.as_bytes()).or_else(|| part.strip_prefix(PLAIN.as_bytes()))?;
    value.trim_ascii_start().strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (COOKIE, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn every_one_is_found_and_no_container_gets_it() {
        for (sent, found, left) in [
            (&["a=1; __Host-drey-visitor=x; b=2"][..], &["x"][..], &["a=1; b=2"][..]),
            (&["drey-visitor=x; drey-visitor=y", "__Host-drey-visitor=z", "c=3"], &["x", "y", "z"], &["c=3"]),
            (&["a=1;  b=\"; c\""], &[], &["a=1;  b=\"; c\""]),
            (&["drey-visitor =x"], &["x"], &[]),
            (&["a=drey-visitor=x; xdrey-visitor=y"], &[], &["a=drey-visitor=x; xdrey-visitor=y"]),
            (&[], &[], &[]),
        ] {
            let mut headers = headers(sent);
            assert_eq!(Pass::all(&headers).collect::<Vec<_>>(), found, "{sent:?}");
            Pass::take_off(&mut headers);
            let rest: Vec<&str> = headers.get_all(COOKIE).iter().map(|it| it.to_str().unwrap()).collect();
            assert_eq!(rest, left, "{sent:?}");
        }
    }

    #[test]
    fn it_is_for_one_host_and_no_script() {
        let day = Duration::from_secs(86_400);
        assert_eq!(
            Pass::set("1.a", day, true).unwrap(),
            "__Host-drey-visitor=1.a; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            Pass::set("1.a", day, false).unwrap(),
            "drey-visitor=1.a; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"
        );
    }
}
