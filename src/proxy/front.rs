//! What a listener does with TLS: the handshake by the policy of the host, and that its requests keep to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::answer::{self, AnswerBody};
use super::connection::ConnectionInfo;
use super::gate::Gate;
use super::handshake::Handshakes;
use super::host;
use super::policy::{Policies, Policy};
use super::settings::{ProxyError, TlsRules};

/// The TLS side of a listener.
pub(super) struct Front {
    gate: Arc<Gate>,
    handshakes: Handshakes,
    policies: Policies,
    /// As the header has it.
    hsts: ArcSwapOption<HeaderValue>,
}

impl Front {
    pub(super) fn new(gate: Arc<Gate>, handshakes: Handshakes, policies: Policies) -> Self {
        Self { gate, handshakes, policies, hsts: ArcSwapOption::empty() }
    }

    /// From now on. A fault changes nothing.
    pub(super) fn set_rules(&self, rules: &TlsRules) -> Result<(), ProxyError> {
        self.policies.replace(&rules.repositories)?;
        self.hsts.store(rules.hsts.map(|age| Arc::new(hsts(age))));
        Ok(())
    }

    /// The connection of a visitor; none where an authority looked, which is all that it wants.
    pub(super) async fn receive<S>(
        &self,
        stream: S,
        client: &ConnectionInfo,
    ) -> io::Result<Option<TlsStream<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.policies.are_plain() {
            // Before the first table nobody knows whose host it is. The handshake's own limit is enough.
            let mut changes = self.gate.table.changes();
            while !self.gate.table.is_published() && changes.changed().await.is_ok() {}
        }
        let choose = |name: Option<&str>| {
            let host = name.and_then(|name| host::canonical(name).ok());
            let policy = self.policy_of(host.as_deref());
            client.set_policy(policy.id);
            policy.config.clone()
        };
        self.handshakes.receive(stream, choose).await
    }

    /// Refuses a request whose host asks for another policy than the one that its connection was let in by: a browser
    /// sends requests for all hosts of a certificate over one connection (RFC 9113, 9.1.1 and 9.1.2).
    pub(super) fn misdirected<B>(
        &self,
        request: &Request<B>,
        client: &ConnectionInfo,
    ) -> Option<Response<AnswerBody>> {
        if self.policies.are_plain() && client.policy() == 0 {
            return None;
        }
        // What is no host is refused by the gate.
        let authority = host::authority(request).ok()?;
        let host = host::canonical_of(&authority).ok()?;
        if self.policy_of(Some(&host)).id == client.policy() {
            return None;
        }
        self.gate.answers.count(StatusCode::MISDIRECTED_REQUEST.as_u16());
        let message = "This host wants a connection of its own: ask again over a new one.";
        Some(answer::text(StatusCode::MISDIRECTED_REQUEST, message))
    }

    /// What every answer over TLS has. An application's own word stays.
    pub(super) fn mark(&self, response: &mut Response<AnswerBody>) {
        if let Some(hsts) = &*self.hsts.load() {
            let headers = response.headers_mut();
            headers.entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| HeaderValue::clone(hsts));
        }
    }

    fn policy_of(&self, host: Option<&str>) -> Arc<Policy> {
        if self.policies.are_plain() {
            return self.policies.of(None);
        }
        let entry = host.and_then(|host| self.gate.table.find(host));
        self.policies.of(entry.as_ref().map(|entry| entry.route.repo()))
    }
}

/// For this host alone: branches are siblings, none speaks for names below another's.
fn hsts(age: Duration) -> HeaderValue {
    let value = format!("max-age={}", age.as_secs());
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("max-age=0"))
}
