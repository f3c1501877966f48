//! Who may tell drey of a push: HMAC-SHA-256 over the raw bytes, compared in constant time.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::names::RepoName;

/// Stands for the secret of a repository that is not known or has none: what is checked with it never fits, and takes as
/// long as if it could.
const NOBODYS: &[u8] = b"no repository has this secret, and whoever signs with it is refused";

/// The check of one delivery, fed with its body as it comes.
pub(super) struct Check {
    mac: Option<Hmac<Sha256>>,
    given: Option<Vec<u8>>,
    is_known: bool,
}

impl Check {
    /// With the repository's secret, if there is one. `header` is `sha256=<hex>`.
    pub(super) fn new(secret: Option<&[u8]>, header: &[u8]) -> Self {
        let hex = header.strip_prefix(b"sha256=").filter(|hex| hex.len() == 64);
        Self {
            // A key of any length is fine for HMAC: it is there.
            mac: Hmac::<Sha256>::new_from_slice(secret.unwrap_or(NOBODYS)).ok(),
            given: hex.and_then(|hex| hex::decode(hex).ok()),
            is_known: secret.is_some(),
        }
    }

    /// Whether it has the form of a signature. Says nothing of the repository.
    pub(super) fn could_fit(&self) -> bool {
        self.given.is_some()
    }

    /// The next part of the body.
    pub(super) fn update(&mut self, part: &[u8]) {
        if let Some(mac) = &mut self.mac {
            mac.update(part);
        }
    }

    /// Whether the header signs the body and, where there are any, the push options: the body, a newline, the options
    /// joined by newlines.
    pub(super) fn fits(mut self, options: &[Vec<u8>]) -> bool {
        for option in options {
            self.update(b"\n");
            self.update(option);
        }
        let given = self.given.unwrap_or_default();
        let fits = self.mac.is_some_and(|mac| mac.verify_slice(&given).is_ok());
        fits && self.is_known
    }
}

/// The token of developers' clones: made from the secret, and good for nothing but asking for a look at git.
pub fn look_token(secret: &[u8], repo: &RepoName) -> String {
    // A key of any length is fine for HMAC: the error cannot happen.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(b"drey-look:");
    mac.update(repo.as_str().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Whether the token is the repository's, which has this secret, if it is known and has one.
pub(super) fn is_look_token(secret: Option<&[u8]>, repo: &str, token: &[u8]) -> bool {
    let given = hex::decode(token).unwrap_or_default();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.unwrap_or(NOBODYS)) else { return false };
    mac.update(b"drey-look:");
    mac.update(repo.as_bytes());
    mac.verify_slice(&given).is_ok() && secret.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: &[u8], signed: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes())).into_bytes()
    }

    fn is_signed(secret: Option<&[u8]>, header: &[u8], body: &[u8], options: &[Vec<u8>]) -> bool {
        let mut check = Check::new(secret, header);
        body.chunks(2).for_each(|part| check.update(part));
        check.fits(options)
    }

    #[test]
    fn body_and_options_are_both_signed() {
        let options = [b"drey.wait".to_vec(), b"x".to_vec()];
        let header = sign(b"s", b"body\n\ndrey.wait\nx");
        assert!(is_signed(Some(b"s"), &header, b"body\n", &options));
        assert!(!is_signed(Some(b"s"), &header, b"body\n", &options[..1]));
        assert!(!is_signed(Some(b"t"), &header, b"body\n", &options));
        assert!(is_signed(Some(b"s"), &sign(b"s", b"body\n"), b"body\n", &[]));
        for forged in [&b""[..], b"sha256=", b"sha256=00", b"sha1=00", b"sha256=zz"] {
            assert!(!is_signed(Some(b"s"), forged, b"body\n", &[]));
            assert!(!Check::new(Some(b"s"), forged).could_fit());
        }
    }

    #[test]
    fn without_a_secret_nothing_fits() {
        for secret in [NOBODYS, b"", b"s"] {
            let header = sign(secret, b"body");
            assert!(Check::new(None, &header).could_fit());
            assert!(!is_signed(None, &header, b"body", &[]));
        }
    }

    #[test]
    fn a_look_token_is_good_for_one_repository() {
        let shop = RepoName::parse("shop").unwrap();
        let token = look_token(b"s", &shop);
        assert!(is_look_token(Some(b"s"), "shop", token.as_bytes()));
        assert!(!is_look_token(Some(b"s"), "other", token.as_bytes()));
        assert!(!is_look_token(Some(b"s"), "shop", b""));
        assert!(!is_look_token(None, "shop", look_token(NOBODYS, &shop).as_bytes()));
    }
}
