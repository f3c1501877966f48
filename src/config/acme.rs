//! `[proxy.tls.acme]`: which authority signs, and how it is shown that the domain is ours.

use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;

use super::acme_binding::AccountBinding;
use super::reader::{Section, at_least_one};

/// The authority that is asked when none is named.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Its twin for trials: browsers do not trust what it signs, and its limits are wide.
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
/// How long a new record takes to be seen everywhere, unless it is said otherwise.
const PROPAGATION: Duration = Duration::from_secs(30);
/// Orders within an hour, unless it is said otherwise.
const ORDERS_PER_HOUR: u64 = 10;

/// `[proxy.tls.acme]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// URL of the authority's directory (RFC 8555, 7.1.1).
    pub directory: String,
    /// PEM file of whoever signs the authority's own certificate, besides those that the system trusts.
    pub directory_ca: Option<PathBuf>,
    /// Where the authority reaches the operator: `mailto:` URLs.
    pub contact: Vec<String>,
    pub challenge: AcmeChallenge,
    /// Program and first arguments that put records into the domain name system; for `dns-01` only.
    pub hook: Vec<String>,
    /// From the record to the question.
    pub propagation: Duration,
    pub orders_per_hour: u64,
    /// The account at the authority that drey's one is bound to, for those that take no stranger's.
    pub binding: Option<AccountBinding>,
}

/// How it is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// RFC 8555, 8.3; a certificate for each host.
    Http01,
    /// RFC 8737; a certificate for each host.
    TlsAlpn01,
    /// RFC 8555, 8.4; one certificate for the domain and its wildcard.
    Dns01,
}

impl AcmeChallenge {
    const ALL: [Self; 3] = [Self::Http01, Self::TlsAlpn01, Self::Dns01];

    /// As in the configuration and in the protocol.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }

    fn parse(value: &Value) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|challenge| value.as_str() == Some(challenge.word()));
        found.ok_or_else(|| "must be \"dns-01\", \"http-01\" or \"tls-alpn-01\"".to_owned())
    }
}

impl Acme {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let challenge = section.read("challenge", AcmeChallenge::parse);
        section.needed(
            "challenge",
            challenge.is_some(),
            "is needed: \"dns-01\", \"http-01\" or \"tls-alpn-01\"",
        );
        let hook = section.texts("hook").unwrap_or_default();
        if challenge == Some(AcmeChallenge::Dns01) {
            section.needed(
                "hook",
                !hook.is_empty(),
                "is needed for dns-01: a program that is called with `present|cleanup NAME VALUE`, for instance \
                 [\"/usr/local/bin/dns-hook\"]",
            );
        } else if challenge.is_some() && !hook.is_empty() {
            section.fault("hook", "is for `challenge = \"dns-01\"`");
        }
        let read = Self {
            directory: directory(section),
            directory_ca: section.path("directory_ca"),
            contact: contact(section),
            challenge: challenge.unwrap_or(AcmeChallenge::Dns01),
            hook,
            propagation: section.duration("propagation").unwrap_or(PROPAGATION),
            orders_per_hour: section.read("orders_per_hour", at_least_one).unwrap_or(ORDERS_PER_HOUR),
            binding: AccountBinding::read(section),
        };
        section.finish();
        read
    }
}

fn directory(section: &mut Section<'_>) -> String {
    let staging = section.flag("staging").unwrap_or_default();
    let given = section.read("directory", |value| {
        let url = value.as_str().unwrap_or_default();
        let host =
            url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
        if host && plain { Ok(url.to_owned()) } else { Err("must begin with https://".to_owned()) }
    });
    if staging && given.is_some() {
        section.fault("staging", "goes without `directory`: it names the trial authority of Let's Encrypt");
    }
    given.unwrap_or_else(|| if staging { LETS_ENCRYPT_STAGING } else { LETS_ENCRYPT }.to_owned())
}

/// `email`, then each `contact`.
fn contact(section: &mut Section<'_>) -> Vec<String> {
    let email = section.read("email", |value| {
        let email = value.as_str().unwrap_or_default();
        let is_one = email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
            && email.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if is_one { Ok(format!("mailto:{email}")) } else { Err("must be an address for mail".to_owned()) }
    });
    let more = section.texts("contact").unwrap_or_default();
    if more.iter().any(|contact| !contact.starts_with("mailto:")) {
        section.fault("contact", "must be a list of URLs, for instance [\"mailto:ops@example.org\"]");
    }
    email.into_iter().chain(more).collect()
}
