//! What one request came to, from its first moment to its last byte: for the environment's numbers and its log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Uri, Version, header};
use tokio::time::Instant;

use super::body::Upload;
use super::connection::ConnectionInfo;
use super::forwarded;
use super::table::Entry;
use crate::domain::text::clean_end;
use crate::domain::time::Timestamp;
use crate::ports::{AccessLog, AccessRecord};

/// Characters of a path, or of what a program calls itself, that are kept.
const TEXT_LIMIT: usize = 1000;

/// A request before it is known whose it is. Cheap: nothing is copied.
pub(super) struct Asked {
    begun: Instant,
    /// What only the log wants.
    told: Option<Told>,
}

struct Told {
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    /// Behind a trusted proxy: whom that speaks for.
    client: Option<IpAddr>,
    version: Version,
}

/// What is known when the head of the answer is there.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) at: Timestamp,
    /// When a container was asked.
    pub(super) asked_at: Option<Instant>,
}

/// Goes with the answer's body, and is settled when that is sent or dropped.
pub(super) struct Account {
    asked: Asked,
    entry: Arc<Entry>,
    head: Head,
    held: Duration,
    upstream: Option<Duration>,
    upload: Upload,
    sent: u64,
    log: Option<(Arc<dyn AccessLog>, Arc<ConnectionInfo>)>,
}

impl Asked {
    pub(super) fn new<B>(request: &Request<B>, client: &ConnectionInfo, is_logged: bool) -> Self {
        let told = is_logged.then(|| Told {
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: request.headers().get(header::HOST).cloned(),
            agent: request.headers().get(header::USER_AGENT).cloned(),
            client: forwarded::client_before(request.headers(), client),
            version: request.version(),
        });
        Self { begun: Instant::now(), told }
    }

    /// From now on it is this environment's.
    pub(super) fn of(
        self,
        entry: Arc<Entry>,
        head: Head,
        upload: Upload,
        log: Option<(Arc<dyn AccessLog>, Arc<ConnectionInfo>)>,
    ) -> Box<Account> {
        let upstream = head.asked_at.map(|asked| asked.elapsed());
        let held = head.asked_at.map_or_else(|| self.begun.elapsed(), |asked| asked - self.begun);
        entry.tally.answered(head.status, upstream, held);
        Box::new(Account { asked: self, entry, head, held, upstream, upload, sent: 0, log })
    }
}

impl Account {
    /// Bytes of the answer's body went out.
    pub(super) fn sends(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let received = self.upload.received();
        self.entry.tally.passed(received, self.sent);
        let Some(((log, client), told)) = self.log.take().zip(self.asked.told.take()) else { return };
        let host = told.uri.authority().map_or_else(|| text(told.host.as_ref()), ToString::to_string);
        log.record(AccessRecord {
            environment: self.entry.route.environment,
            at: self.head.at,
            method: told.method.to_string(),
            host: host.to_ascii_lowercase(),
            path: path(&told.uri),
            status: self.head.status,
            received,
            sent: self.sent,
            held: self.held,
            upstream: self.upstream,
            total: self.asked.begun.elapsed(),
            service: self.entry.route.service.clone(),
            client: told.client.map_or_else(|| text(Some(&client.address)), |client| client.to_string()),
            agent: text(told.agent.as_ref()),
            http: version(told.version),
        });
    }
}

/// Values of a query may be anything, passwords too: their names are enough to know what was asked.
fn path(uri: &Uri) -> String {
    let mut path = uri.path().to_owned();
    for (number, part) in uri.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        path.push(if number == 0 { '?' } else { '&' });
        match part.split_once('=') {
            Some((name, _)) => {
                path.push_str(name);
                path.push_str("=*");
            }
            // A lone word may as well be a value.
            None => path.push('*'),
        }
    }
    if path.len() > TEXT_LIMIT { path.chars().take(TEXT_LIMIT).collect() } else { path }
}

fn text(value: Option<&HeaderValue>) -> String {
    let bytes = value.map(HeaderValue::as_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    if text.len() > TEXT_LIMIT { clean_end(&text, TEXT_LIMIT) } else { text.into_owned() }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_query_is_kept() {
        for (address, kept) in [
            ("/a/b", "/a/b"),
            ("/?", "/?*"),
            ("/a?token=secret&x=1&flag", "/a?token=*&x=*&*"),
            ("https://x.qa.example/a?drey=1.secret", "/a?drey=*"),
            ("/a?x=a=b", "/a?x=*"),
        ] {
            assert_eq!(path(&address.parse().unwrap()), kept, "{address}");
        }
        let long: Uri = format!("/{}", "é".repeat(3000).replace('é', "%C3%A9")).parse().unwrap();
        assert_eq!(path(&long).chars().count(), TEXT_LIMIT);
    }
}
