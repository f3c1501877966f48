//! The cookie that a session is known by.

use axum::http::header::{COOKIE, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderValue};

use super::sessions::{LIFETIME, SessionId};

/// Browsers take a name with `__Host-` only from this very host, for all of its paths and with `Secure`: no branch, which may
/// be its sibling, can plant one.
const NAME: &str = "__Host-drey";
/// The link of a page of the gate leads here from another site, so the cookie comes along with what only looks (`Lax`); what
/// changes something is guarded besides.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

/// What came is not ours: two cookies of the name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Doubled;

/// The session that a browser shows.
///
/// # Errors
/// When there are two: which of them is ours cannot be told.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<SessionId>, Doubled> {
    let all = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let named = |cookie: &[u8]| -> Option<String> {
        let rest = cookie.trim_ascii().strip_prefix(NAME.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(rest).into_owned())
    };
    let mut ours = all.filter_map(named);
    match (ours.next(), ours.next()) {
        (Some(_), Some(_)) => Err(Doubled),
        (Some(value), None) => Ok(SessionId::parse(&value)),
        (None, _) => Ok(None),
    }
}

/// Gives the browser its session.
pub(super) fn set(id: &SessionId) -> Result<HeaderValue, InvalidHeaderValue> {
    let text = format!("{NAME}={}; {ATTRIBUTES}; Max-Age={}", id.as_str(), LIFETIME.as_secs());
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Takes it away.
pub(super) fn taken_away() -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::try_from(format!("{NAME}=; {ATTRIBUTES}; Max-Age=0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEF-";

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|cookie| (COOKIE, HeaderValue::from_str(cookie).unwrap())).collect()
    }

    #[test]
    fn one_cookie_of_the_name_is_read() {
        let found = |cookies: &[&str]| read(&headers(cookies)).map(|id| id.map(|id| id.as_str().to_owned()));
        let ours = format!("__Host-drey={ID}");
        assert_eq!(found(&[&format!("a=1; {ours}; b=2")]), Ok(Some(ID.to_owned())));
        for none in ["", "__Host-drey=", "__Host-drey-visitor=x", "drey=x", "__host-drey=x", "x__Host-drey=x"]
        {
            assert_eq!(found(&[none]), Ok(None), "{none}");
        }
        assert_eq!(found(&[&format!("{ours}; __Host-drey=other")]), Err(Doubled));
        assert_eq!(found(&["__Host-drey=other", &ours]), Err(Doubled));
    }

    #[test]
    fn it_is_for_this_host_and_no_script_reads_it() {
        let set = set(&SessionId::parse(ID).unwrap()).unwrap();
        let rest = "Path=/; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(set.to_str().unwrap(), format!("__Host-drey={ID}; {rest}; Max-Age=43200"));
        assert!(set.is_sensitive());
        assert_eq!(taken_away().unwrap().to_str().unwrap(), format!("__Host-drey=; {rest}; Max-Age=0"));
    }
}
