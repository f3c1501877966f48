//! Where Traefik passes requests on to: containers, and what it takes to speak to them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::adapters::routes::model::Backend;
use crate::domain::backend::BackendTls;
use crate::domain::route::Scheme;

/// Where the containers of a service are.
pub(super) fn urls(backend: &Backend) -> Vec<String> {
    let scheme = match backend.scheme {
        // What is neither leads to the gate: no model has it.
        Scheme::Http | Scheme::Tcp => "http",
        Scheme::Https => "https",
        Scheme::H2c => "h2c",
    };
    backend.servers.iter().map(|address| format!("{scheme}://{address}")).collect()
}

/// What is unusual about speaking to it. Any answer may take so long where the service says nothing of it.
pub(super) fn transport(backend: &Backend, usual: Option<Duration>) -> Option<Value> {
    let mut transport = match (&backend.tls, backend.scheme) {
        (Some(tls), Scheme::Https) => of_tls(tls),
        (None, Scheme::Https) => json!({"insecureSkipVerify": true}),
        (_, Scheme::Http | Scheme::H2c | Scheme::Tcp) => json!({}),
    };
    if let Some(timeout) = backend.timeout.or(usual) {
        let seconds = timeout.as_secs();
        transport["forwardingTimeouts"] = json!({"responseHeaderTimeout": format!("{seconds}s")});
    }
    let is_usual = transport.as_object().is_some_and(serde_json::Map::is_empty);
    (!is_usual).then_some(transport)
}

fn of_tls(tls: &BackendTls) -> Value {
    let mut transport = json!({"insecureSkipVerify": !tls.verify});
    if let Some(name) = &tls.server_name {
        transport["serverName"] = json!(name);
    }
    if let Some(authority) = tls.authority.as_ref().filter(|_| tls.verify) {
        transport["rootCAs"] = json!([authority]);
    }
    transport
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
