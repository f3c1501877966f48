//! Where Traefik passes requests on to: containers, and what it takes to speak to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Frame;
use crate::domain::backend::{BackendTls, Balance};
use crate::domain::route::{Answer, Route, Scheme, Upstream};
use crate::domain::visitors::Access;

/// Containers of one service.
pub(super) struct Backend {
    pub(super) urls: Vec<String>,
    pub(super) sticky: bool,
    is_tls: bool,
    tls: Option<Arc<BackendTls>>,
    timeout: Option<Duration>,
}

impl Backend {
    /// Where the route leads straight to: only what is ready, what everybody may look at, and what Traefik can do.
    pub(super) fn of(route: &Route, frame: &Frame) -> Option<Self> {
        let Answer::Proxy(upstream) = &route.answer else { return None };
        let is_open = match route.access {
            Access::Open => true,
            Access::Link(_) | Access::Basic(_) | Access::Token => false,
        };
        let has_key = upstream.tls.as_ref().is_some_and(|tls| tls.identity.is_some());
        if !frame.direct || !is_open || (has_key && !frame.tells_keys) {
            return None;
        }
        let is_one = upstream.others.is_empty();
        let is_even = match upstream.balance {
            Balance::RoundRobin => true,
            Balance::LeastConnections => is_one,
        };
        let scheme = scheme(upstream.scheme).filter(|_| is_even)?;
        Some(Self {
            urls: addresses(upstream).iter().map(|address| format!("{scheme}://{address}")).collect(),
            sticky: upstream.sticky && !is_one,
            is_tls: upstream.scheme == Scheme::Https,
            tls: upstream.tls.clone(),
            timeout: upstream.timeout,
        })
    }

    /// What is unusual about speaking to it.
    pub(super) fn transport(&self) -> Option<Value> {
        if !self.is_tls && self.timeout.is_none() {
            return None;
        }
        let mut transport = match (&self.tls, self.is_tls) {
            (Some(tls), true) => of_tls(tls),
            (None, true) => json!({"insecureSkipVerify": true}),
            (_, false) => json!({}),
        };
        if let Some(timeout) = self.timeout {
            let seconds = timeout.as_secs();
            transport["forwardingTimeouts"] = json!({"responseHeaderTimeout": format!("{seconds}s")});
        }
        Some(transport)
    }
}

const fn scheme(scheme: Scheme) -> Option<&'static str> {
    match scheme {
        Scheme::Http => Some("http"),
        Scheme::Https => Some("https"),
        Scheme::H2c => Some("h2c"),
        Scheme::Tcp => None,
    }
}

fn addresses(upstream: &Upstream) -> Vec<SocketAddr> {
    let others = upstream.others.iter().map(|replica| replica.address);
    let mut addresses: Vec<SocketAddr> = others.chain([upstream.address]).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn of_tls(tls: &BackendTls) -> Value {
    let mut transport = json!({"insecureSkipVerify": !tls.verify});
    if let Some(name) = &tls.server_name {
        transport["serverName"] = json!(name);
    }
    if let Some(authority) = tls.authority.as_ref().filter(|_| tls.verify) {
        transport["rootCAs"] = json!([authority]);
    }
    let identity = tls.identity.as_deref().map(String::from_utf8_lossy);
    if let Some((chain, key)) = identity.map(|pem| parted(&pem)) {
        transport["certificates"] = json!([{"certFile": chain, "keyFile": key}]);
    }
    transport
}

/// Certificates and keys of a text that has both.
fn parted(pem: &str) -> (String, String) {
    let (mut chain, mut key) = (String::new(), String::new());
    let mut is_key = false;
    for line in pem.lines() {
        if line.starts_with("-----BEGIN ") {
            is_key = line.contains("PRIVATE KEY");
        }
        let part = if is_key { &mut key } else { &mut chain };
        part.push_str(line);
        part.push('\n');
    }
    (chain, key)
}

/// A service of Traefik's that leads to these.
pub(super) fn service(urls: &[String], sticky: Option<Value>, transport: Option<&str>) -> Value {
    let servers: Vec<Value> = urls.iter().map(|url| json!({"url": url})).collect();
    let mut balancer = json!({"servers": servers, "passHostHeader": true});
    if let Some(sticky) = sticky {
        balancer["sticky"] = sticky;
    }
    if let Some(transport) = transport {
        balancer["serversTransport"] = json!(transport);
    }
    json!({"loadBalancer": balancer})
}
