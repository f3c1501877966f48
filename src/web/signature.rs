//! Who may tell drey of a push: HMAC-SHA-256 over the raw bytes, compared in constant time.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::names::RepoName;

/// Whether `header` (`sha256=<hex>`) signs the body and, where there are any, the push options: the body, a newline,
/// the options joined by newlines.
pub(super) fn is_signed(secret: &[u8], header: &[u8], body: &[u8], options: &[Vec<u8>]) -> bool {
    let Some(given) = header.strip_prefix(b"sha256=").and_then(|hex| hex::decode(hex).ok()) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(body);
    for option in options {
        mac.update(b"\n");
        mac.update(option);
    }
    mac.verify_slice(&given).is_ok()
}

/// The token of developers' clones: made from the secret, and good for nothing but asking for a look at git.
pub fn look_token(secret: &[u8], repo: &RepoName) -> String {
    // A key of any length is fine for HMAC: the error cannot happen.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(b"drey-look:");
    mac.update(repo.as_str().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Whether the token is the repository's.
pub(super) fn is_look_token(secret: &[u8], repo: &RepoName, token: &[u8]) -> bool {
    let Some(given) = hex::decode(token).ok() else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(b"drey-look:");
    mac.update(repo.as_str().as_bytes());
    mac.verify_slice(&given).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: &[u8], signed: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes())).into_bytes()
    }

    #[test]
    fn body_and_options_are_both_signed() {
        let options = [b"drey.wait".to_vec(), b"x".to_vec()];
        let header = sign(b"s", b"body\n\ndrey.wait\nx");
        assert!(is_signed(b"s", &header, b"body\n", &options));
        assert!(!is_signed(b"s", &header, b"body\n", &options[..1]));
        assert!(!is_signed(b"t", &header, b"body\n", &options));
        assert!(is_signed(b"s", &sign(b"s", b"body\n"), b"body\n", &[]));
        for forged in [&b""[..], b"sha256=", b"sha256=00", b"sha1=00", b"sha256=zz"] {
            assert!(!is_signed(b"s", forged, b"body\n", &[]));
        }
    }

    #[test]
    fn a_look_token_is_good_for_one_repository() {
        let (shop, other) = (RepoName::parse("shop").unwrap(), RepoName::parse("other").unwrap());
        let token = look_token(b"s", &shop);
        assert!(is_look_token(b"s", &shop, token.as_bytes()));
        assert!(!is_look_token(b"s", &other, token.as_bytes()));
        assert!(!is_look_token(b"s", &shop, b""));
    }
}
