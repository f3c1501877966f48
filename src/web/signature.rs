//! Who may tell drey of a push: HMAC-SHA-256 over the raw bytes, or GitLab's token, compared in constant time.

use std::time::Duration;

use axum::http::HeaderMap;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::forge::Forge;
use crate::domain::names::RepoName;
use crate::domain::time::Timestamp;

/// Stands for the secret of a repository that is not known or has none: what is checked with it never fits, and takes as
/// long as if it could.
const NOBODYS: &[u8] = b"no repository has this secret, and whoever signs with it is refused";

/// How old, and how far ahead, a signed time may be.
const TIME_WINDOW: Duration = Duration::from_secs(300);
/// What a secret begins with that GitLab signs with, instead of sending it; base64 follows.
const SIGNING: &[u8] = b"whsec_";

/// The check of one delivery, fed with its body as it comes.
pub(super) struct Check {
    proof: Proof,
    is_known: bool,
}

enum Proof {
    /// One of these is the body's.
    Mac { mac: Option<Hmac<Sha256>>, given: Vec<Vec<u8>> },
    /// The secret itself was sent.
    Token { is_given: bool, fits: bool },
}

impl Check {
    /// With the repository's secret, if there is one, and `X-Drey-Signature-256`.
    pub(super) fn git(secret: Option<&[u8]>, headers: &HeaderMap) -> Self {
        Self::hex(secret, prefixed(header(headers, "x-drey-signature-256")))
    }

    /// As each forge proves that it knows the secret.
    pub(super) fn forge(forge: Forge, secret: Option<&[u8]>, headers: &HeaderMap, now: Timestamp) -> Self {
        let header = |name| header(headers, name);
        match forge {
            Forge::Github => Self::hex(secret, prefixed(header("x-hub-signature-256"))),
            Forge::Bitbucket => Self::hex(secret, prefixed(header("x-hub-signature"))),
            Forge::Gitea => Self::hex(secret, header("x-gitea-signature")),
            Forge::Forgejo if headers.contains_key("x-forgejo-signature") => {
                Self::hex(secret, header("x-forgejo-signature"))
            }
            Forge::Forgejo => Self::hex(secret, header("x-gitea-signature")),
            Forge::Gitlab => match secret.and_then(|secret| secret.strip_prefix(SIGNING)) {
                Some(key) => Self::signed(key, headers, now),
                None => Self::token(secret, header("x-gitlab-token")),
            },
        }
    }

    fn hex(secret: Option<&[u8]>, given: Option<&[u8]>) -> Self {
        let given = given.filter(|hex| hex.len() == 64).and_then(|hex| hex::decode(hex).ok());
        // A key of any length is fine for HMAC: it is there.
        let mac = Hmac::<Sha256>::new_from_slice(secret.unwrap_or(NOBODYS)).ok();
        let proof = Proof::Mac { mac, given: given.into_iter().collect() };
        Self { proof, is_known: secret.is_some() }
    }

    /// Standard Webhooks: id, time and body are signed, with the bytes that the secret is the base64 of.
    fn signed(key: &[u8], headers: &HeaderMap, now: Timestamp) -> Self {
        let header = |name| header(headers, name).unwrap_or_default();
        let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
        let is_fresh =
            str::from_utf8(time).ok().and_then(|time| time.parse::<u32>().ok()).is_some_and(|time| {
                let time = Timestamp::from_millis(i64::from(time) * 1000);
                now.since(time) <= TIME_WINDOW && time.since(now) <= TIME_WINDOW
            });
        let given = header("webhook-signature").split(|byte| *byte == b' ').filter(|_| is_fresh);
        let given = given.filter_map(|one| BASE64.decode(one.strip_prefix(b"v1,")?).ok()).collect();
        let key = BASE64.decode(key).ok().filter(|key| !key.is_empty());
        let mut mac = key.and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok());
        if let Some(mac) = &mut mac {
            [id, b".", time, b"."].into_iter().for_each(|part| mac.update(part));
        }
        Self { proof: Proof::Mac { mac, given }, is_known: true }
    }

    fn token(secret: Option<&[u8]>, given: Option<&[u8]>) -> Self {
        let given = given.unwrap_or_default();
        let fits = is_same(secret.unwrap_or(NOBODYS), given);
        Self { proof: Proof::Token { is_given: !given.is_empty(), fits }, is_known: secret.is_some() }
    }

    /// Whether it has the form of a proof. Says nothing of the repository.
    pub(super) fn could_fit(&self) -> bool {
        match &self.proof {
            Proof::Mac { given, .. } => !given.is_empty(),
            Proof::Token { is_given, .. } => *is_given,
        }
    }

    /// The next part of what is signed.
    pub(super) fn update(&mut self, part: &[u8]) {
        if let Proof::Mac { mac: Some(mac), .. } = &mut self.proof {
            mac.update(part);
        }
    }

    /// Whether the sender knows the secret, and what came is what it signed.
    pub(super) fn fits(self) -> bool {
        let fits = match self.proof {
            Proof::Mac { mac: Some(mac), given } => {
                given.iter().any(|given| mac.clone().verify_slice(given).is_ok())
            }
            Proof::Mac { mac: None, .. } => false,
            Proof::Token { fits, .. } => fits,
        };
        fits && self.is_known
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get(name).map(|value| value.as_bytes())
}

fn prefixed(header: Option<&[u8]>) -> Option<&[u8]> {
    header?.strip_prefix(b"sha256=")
}

/// In a time that tells neither where nor how much they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mac = |text: &[u8]| Hmac::<Sha256>::new_from_slice(NOBODYS).ok().map(|mac| mac.chain_update(text));
    let (Some(one), Some(other)) = (mac(one), mac(other)) else { return false };
    one.verify_slice(&other.finalize().into_bytes()).is_ok()
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

    fn head(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let pair = |(name, value): &(&str, &[u8])| {
            (name.parse::<http::HeaderName>().unwrap(), http::HeaderValue::from_bytes(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn fits(mut check: Check, body: &[u8]) -> bool {
        body.chunks(2).for_each(|part| check.update(part));
        check.fits()
    }

    #[test]
    fn a_body_is_signed_and_without_a_secret_nothing_fits() {
        let git = |secret, header: &[u8]| Check::git(secret, &head(&[("x-drey-signature-256", header)]));
        let header = sign(b"s", b"body\n\ndrey.wait\nx");
        assert!(fits(git(Some(b"s"), &header), b"body\n\ndrey.wait\nx"));
        assert!(!fits(git(Some(b"s"), &header), b"body\n\ndrey.wait"));
        assert!(!fits(git(Some(b"t"), &header), b"body\n\ndrey.wait\nx"));
        for forged in [&b""[..], b"sha256=", b"sha256=00", b"sha1=00", b"sha256=zz"] {
            assert!(!git(Some(b"s"), forged).could_fit());
            assert!(!fits(git(Some(b"s"), forged), b"body\n"));
        }
        for secret in [NOBODYS, b"", b"s"] {
            let header = sign(secret, b"body");
            assert!(git(None, &header).could_fit());
            assert!(!fits(git(None, &header), b"body"));
        }
    }

    #[test]
    fn each_forge_proves_it_in_its_own_header() {
        let signed = sign(b"s", b"body");
        let bare = &signed["sha256=".len()..];
        for (forge, name, value) in [
            (Forge::Github, "x-hub-signature-256", &signed[..]),
            (Forge::Bitbucket, "x-hub-signature", &signed),
            (Forge::Gitea, "x-gitea-signature", bare),
            (Forge::Forgejo, "x-forgejo-signature", bare),
            (Forge::Forgejo, "x-gitea-signature", bare),
            (Forge::Gitlab, "x-gitlab-token", b"s"),
        ] {
            let now = Timestamp::from_millis(0);
            let check = |secret, value: &[u8]| Check::forge(forge, secret, &head(&[(name, value)]), now);
            assert!(fits(check(Some(b"s"), value), b"body"), "{forge:?}");
            assert!(!fits(check(Some(b"t"), value), b"body"), "{forge:?}");
            assert!(!fits(check(None, value), b"body"), "{forge:?}");
            assert!(!fits(check(Some(b"s"), b""), b"body"), "{forge:?}");
            assert!(!fits(check(Some(b"s"), &value[..value.len() - 1]), b"body"), "{forge:?}");
            for other in Forge::ALL.into_iter().filter(|other| *other != forge) {
                let check = Check::forge(other, Some(b"s"), &head(&[(name, value)]), now);
                let is_both = name == "x-gitea-signature" && other != Forge::Github;
                assert!(!fits(check, b"body") || is_both, "{name} is nothing for {other:?}");
            }
        }
    }

    #[test]
    fn a_signed_time_counts_for_five_minutes() {
        let (key, now) = (b"0123456789abcdef", Timestamp::from_millis(1_786_000_000_000));
        let secret = [SIGNING, BASE64.encode(key).as_bytes()].concat();
        let check = |time: &str, body: &[u8], signed: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(format!("id.{time}.").as_bytes());
            mac.update(signed);
            let signature = BASE64.encode(&mac.finalize().into_bytes());
            let given = format!("v1a,xyz v1,AAAA v1,{signature}");
            let headers = head(&[
                ("webhook-id", b"id"),
                ("webhook-timestamp", time.as_bytes()),
                ("webhook-signature", given.as_bytes()),
                ("x-gitlab-token", &secret),
            ]);
            fits(Check::forge(Forge::Gitlab, Some(&secret), &headers, now), body)
        };
        assert!(check("1786000000", b"body", b"body"));
        assert!(check("1785999700", b"body", b"body") && check("1786000300", b"body", b"body"));
        for stale in ["1785999699", "1786000301", "0", "", "-1", "1786000000.0"] {
            assert!(!check(stale, b"body", b"body"), "{stale}");
        }
        assert!(!check("1786000000", b"body", b"other"));
        let sent = head(&[("x-gitlab-token", &secret)]);
        assert!(
            !fits(Check::forge(Forge::Gitlab, Some(&secret), &sent, now), b"body"),
            "it is for signing only"
        );
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
