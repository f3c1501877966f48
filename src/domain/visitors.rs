//! Who may look at an environment: everybody, whoever has a link, whoever has a password, programs with a token.
//!
//! A link is signed for one environment and ends by itself. Nothing is kept of it: what is signed can be checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::names::EnvironmentId;
use super::time::Timestamp;

/// What a link's address has before the signature: `?drey=…`.
pub const LINK_PARAMETER: &str = "drey";
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Characters of a signature: 256 bits, six in each.
const SIGNATURE_LENGTH: usize = 43;

/// Tokens of the API that let their bearer look, by their SHA-256, each with its end.
pub type KnownTokens = BTreeMap<[u8; 32], Option<Timestamp>>;

/// Who may look at an environment, at all its hosts alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the proxy.
    #[default]
    Open,
    /// Whoever came by a link.
    Link(Links),
    /// Whoever knows a name and its password.
    Basic(Arc<[Login]>),
    /// Only who has a token, which the other ways but [`Access::Open`] take too.
    Token,
}

impl Access {
    /// As the configuration writes it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Link(_) => "link",
            Self::Basic(_) => "basic",
            Self::Token => "token",
        }
    }

    /// A new link's signature, where links lead in.
    pub fn link(&self, place: Place<'_>, now: Timestamp) -> Option<Signed> {
        match self {
            Self::Link(links) => Some(links.sign(Use::Link, place, now.plus(links.last))),
            Self::Open | Self::Basic(_) | Self::Token => None,
        }
    }
}

/// The environment that is looked at, as a signature names it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub environment: EnvironmentId,
    /// `REPO/BRANCH`: with another database the same number may be another branch's.
    pub name: &'a str,
}

/// What a signature is for: one cannot stand for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Part of an address that is given away.
    Link,
    /// What the browser got for it.
    Cookie,
}

/// Makes and reads the signatures of links and cookies.
#[derive(Clone, PartialEq, Eq)]
pub struct Links {
    key: [u8; KEY_BYTES],
    /// How long a new link lasts.
    last: Duration,
}

/// A signature with its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `<seconds since 1970>.<signature>`: harmless in addresses and cookies.
    pub text: String,
    pub until: Timestamp,
}

/// Why a signature does not let in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LinkError {
    #[error("the link is damaged, or it is for another branch")]
    Wrong,
    #[error("the link has expired")]
    Expired,
}

impl Links {
    /// Signs with this key; a new link lasts for `last`.
    pub const fn new(key: [u8; KEY_BYTES], last: Duration) -> Self {
        Self { key, last }
    }

    /// Signs for a place, until a moment, which is taken in whole seconds.
    pub fn sign(&self, what: Use, place: Place<'_>, until: Timestamp) -> Signed {
        let seconds = until.as_millis().max(0) / 1000;
        // A key of any length is fine for HMAC: there is always one.
        let mac = self.mac(what, place, seconds).map(|mac| mac.finalize().into_bytes());
        let signature = mac.map(|mac| BASE64URL_NOPAD.encode(&mac)).unwrap_or_default();
        Signed { text: format!("{seconds}.{signature}"), until: Timestamp::from_millis(seconds * 1000) }
    }

    /// Until when the text lets in at the place. Compared in a time that tells nothing.
    ///
    /// # Errors
    /// When it is not signed for this, or its end has come.
    pub fn read(
        &self,
        what: Use,
        place: Place<'_>,
        text: &str,
        now: Timestamp,
    ) -> Result<Timestamp, LinkError> {
        let (seconds, signature) = parts(text).ok_or(LinkError::Wrong)?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok().ok_or(LinkError::Wrong)?;
        let mac = self.mac(what, place, seconds).ok_or(LinkError::Wrong)?;
        mac.verify_slice(&signature).ok().ok_or(LinkError::Wrong)?;
        let until = Timestamp::from_millis(seconds.saturating_mul(1000));
        if until > now { Ok(until) } else { Err(LinkError::Expired) }
    }

    fn mac(&self, what: Use, place: Place<'_>, seconds: i64) -> Option<Hmac<Sha256>> {
        let what = match what {
            Use::Link => "link",
            Use::Cookie => "cookie",
        };
        // The name comes last: nothing of it can be taken for another part.
        let signed = format!("drey-{what}\n{seconds}\n{}\n{}", place.environment.0, place.name);
        Some(Hmac::<Sha256>::new_from_slice(&self.key).ok()?.chain_update(signed))
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("last", &self.last).finish_non_exhaustive()
    }
}

/// Whether a text has the form of a signature, whatever it is signed with.
pub fn is_signature(text: &str) -> bool {
    parts(text).is_some()
}

fn parts(text: &str) -> Option<(i64, &str)> {
    let (seconds, signature) = text.split_once('.')?;
    let is_number = (1..=12).contains(&seconds.len()) && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_signed = signature.len() == SIGNATURE_LENGTH && signature.bytes().all(is_base64);
    // `007` and `7` would be two texts of one signature.
    let is_plain = seconds == "0" || !seconds.starts_with('0');
    (is_number && is_plain && is_signed).then(|| Some((seconds.parse().ok()?, signature)))?
}

/// A name with its password, as a digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Login([u8; 32]);

impl Login {
    pub fn new(name: &str, password: &str) -> Self {
        // No name has a colon (RFC 7617, 2).
        Self(Sha256::digest(format!("{name}:{password}")).into())
    }

    /// Whether `name:password` is one of these. All are compared, each in a time that tells nothing.
    pub fn is_among(logins: &[Self], given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        let differs =
            |login: &Self| login.0.iter().zip(given).fold(0, |all, (one, other)| all | (one ^ other));
        logins.iter().fold(false, |found, login| found | (std::hint::black_box(differs(login)) == 0))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn place(environment: i64, name: &str) -> Place<'_> {
        Place { environment: EnvironmentId(environment), name }
    }

    #[test]
    fn a_link_leads_to_its_environment_until_its_end() {
        let links = Links::new([7; 32], DAY);
        let signed = Access::Link(links.clone()).link(place(3, "shop/x"), at(1000)).unwrap();
        assert_eq!(signed.until, at(87_400));
        let read = |what, place, text: &str, now| links.read(what, place, text, now);
        let text = signed.text.as_str();
        assert_eq!(read(Use::Link, place(3, "shop/x"), text, at(1000)), Ok(at(87_400)));
        assert_eq!(read(Use::Link, place(3, "shop/x"), text, at(87_399)), Ok(at(87_400)));
        assert_eq!(read(Use::Link, place(3, "shop/x"), text, at(87_400)), Err(LinkError::Expired));
        for (what, place) in [
            (Use::Cookie, place(3, "shop/x")),
            (Use::Link, place(4, "shop/x")),
            (Use::Link, place(3, "shop/y")),
            (Use::Link, place(3, "shop/x\n")),
        ] {
            assert_eq!(read(what, place, text, at(1000)), Err(LinkError::Wrong), "{what:?} {place:?}");
        }
        let others = Links::new([8; 32], DAY);
        assert_eq!(others.read(Use::Link, place(3, "shop/x"), text, at(1000)), Err(LinkError::Wrong));
    }

    #[test]
    fn whatever_is_changed_of_a_link_it_leads_nowhere() {
        let links = Links::new([7; 32], DAY);
        let text = links.sign(Use::Link, place(3, "shop/x"), at(5000)).text;
        for index in 0..text.len() {
            for other in *b"0A9z.-_" {
                let mut changed = text.clone().into_bytes();
                changed[index] = other;
                let changed = String::from_utf8(changed).unwrap();
                let read = links.read(Use::Link, place(3, "shop/x"), &changed, at(0));
                assert!(changed == text || read == Err(LinkError::Wrong), "{changed}");
            }
        }
        for bad in
            ["", ".", "5000", "5000.", &format!("0{text}"), &format!("{text}A"), &text[..text.len() - 1]]
        {
            assert_eq!(links.read(Use::Link, place(3, "shop/x"), bad, at(0)), Err(LinkError::Wrong), "{bad}");
            assert!(!is_signature(bad), "{bad}");
        }
        assert!(is_signature(&text));
    }

    #[test]
    fn a_password_is_for_its_name() {
        let logins = [Login::new("anna", "correct horse"), Login::new("ben", "battery:staple")];
        assert!(Login::is_among(&logins, b"anna:correct horse"));
        assert!(Login::is_among(&logins, b"ben:battery:staple"));
        for wrong in ["anna:battery:staple", "ben:correct horse", "anna:", ":", "", "anna:correct horse "] {
            assert!(!Login::is_among(&logins, wrong.as_bytes()), "{wrong}");
        }
        assert!(!Login::is_among(&[], b":"));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let shown = format!("{:?} {:?}", Links::new([7; 32], DAY), Login::new("anna", "correct horse"));
        assert!(!shown.contains('7') && !shown.contains("horse"), "{shown}");
    }
}
