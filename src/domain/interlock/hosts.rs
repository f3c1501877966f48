//! The names that were routed.

use super::Fault;
use super::key::Key;
use super::said::{Said, Word};

/// What Interlock put in the place of a domain that nobody named.
const DEFAULT_DOMAIN: &str = "local";

/// A name as it was routed by the proxy before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignHost {
    /// The full name, lower case.
    pub host: String,
    /// The part of it that names the service; none where nobody told it apart from the domain.
    pub part: Option<String>,
}

/// The own name, then the aliases. Nothing without a host name: Interlock passed such containers over.
pub(super) fn of(said: &Said) -> Result<Vec<ForeignHost>, Fault> {
    let Some(hostname) = said.one(Key::Hostname) else { return Ok(Vec::new()) };
    let part = checked(hostname)?;
    let domain = said.one(Key::Domain).map(checked).transpose()?.unwrap_or_else(|| DEFAULT_DOMAIN.to_owned());
    let host = if part == domain { part.clone() } else { format!("{part}.{domain}") };
    let mut hosts = vec![ForeignHost { host, part: Some(part) }];
    for alias in said.all(Key::AliasDomain) {
        let host = checked(alias)?;
        let part = host.strip_suffix(&format!(".{domain}")).unwrap_or(&host).to_owned();
        let alias = ForeignHost { host, part: Some(part) };
        if !hosts.iter().any(|known| known.host == alias.host) {
            hosts.push(alias);
        }
    }
    Ok(hosts)
}

fn checked(word: &Word) -> Result<String, Fault> {
    let text = word.value.trim();
    if is_host(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(word.fault("must be a host name: letters, digits, dots and dashes"))
}

/// Whether it is a name that somebody can ask for; `_` is none of the standard, and was routed all the same.
pub(super) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
