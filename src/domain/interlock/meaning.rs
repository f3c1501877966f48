//! What each label comes to in drey's words.

use std::collections::BTreeMap;

use super::key::Key;
use super::said::{Said, Word};
use super::{Fault, Wish, hosts};
use crate::domain::path::PathPrefix;

/// Checks of HAProxy that speak no HTTP: what is asked there is whether the port takes connections.
const OTHER_CHECKS: [&str; 8] = [
    "tcp-check",
    "ssl-hello-chk",
    "mysql-check",
    "pgsql-check",
    "redis-check",
    "ldap-check",
    "smtpchk",
    "lb-agent-chk",
];
/// Algorithms of HAProxy that spread by something of the request: one after the other is as good here.
const OTHER_ALGORITHMS: [&str; 6] = ["first", "uri", "url_param", "hdr", "random", "rdp-cookie"];

pub(super) fn of(said: &Said) -> Result<Wish, Fault> {
    let mut labels = BTreeMap::new();
    addresses(said, &mut labels)?;
    towards_the_service(said, &mut labels)?;
    for word in said.all(Key::HealthCheck) {
        if let Some(path) = health_path(word)? {
            labels.insert("drey.ready.path", path);
        }
    }
    checked(said)?;
    Ok(Wish { hosts: hosts::of(said)?, labels, is_proxy: is_proxy(said) })
}

fn is_proxy(said: &Said) -> bool {
    said.one(Key::App).is_some() || said.one(Key::ExtName).is_some()
}

fn addresses(said: &Said, labels: &mut BTreeMap<&'static str, String>) -> Result<(), Fault> {
    if let Some(port) = said.one(Key::Port) {
        let number = port.value.trim().parse::<u16>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| port.fault("must be a port from 1 to 65535"))?;
        labels.insert("drey.port", number.to_string());
    }
    if let Some(network) = said.one(Key::Network) {
        labels.insert("drey.network", network.value.clone());
    }
    let rewrites = said.flag(Key::ContextRootRewrite)?;
    if let Some(root) = said.one(Key::ContextRoot) {
        let path = PathPrefix::parse(&root.value).map_err(|error| root.fault(error.0))?;
        if !path.is_root() {
            labels.insert("drey.path", path.to_string());
            if rewrites {
                labels.insert("drey.strip-path", "true".to_owned());
            }
        }
    }
    Ok(())
}

fn towards_the_service(said: &Said, labels: &mut BTreeMap<&'static str, String>) -> Result<(), Fault> {
    let verify = said.one(Key::SslBackendTlsVerify).map(verify).transpose()?;
    if said.flag(Key::SslBackend)? {
        labels.insert("drey.scheme", "https".to_owned());
        // Nothing said and `none` are the same to Interlock, and to drey.
        if verify == Some(true) {
            labels.insert("drey.upstream.verify", "true".to_owned());
        }
    }
    if said.flag(Key::IpHash)? {
        labels.insert("drey.sticky", "true".to_owned());
    }
    if let Some(word) = said.one(Key::BalanceAlgorithm) {
        let name = word.value.trim().split(['(', ' ']).next().unwrap_or_default();
        match name {
            "roundrobin" | "static-rr" => {}
            "leastconn" => {
                labels.insert("drey.lb", "least-connections".to_owned());
            }
            "source" => {
                labels.insert("drey.sticky", "true".to_owned());
            }
            other if OTHER_ALGORITHMS.contains(&other) => {}
            _ => return Err(word.fault("is no algorithm of HAProxy; write roundrobin, leastconn or source")),
        }
    }
    Ok(())
}

fn verify(word: &Word) -> Result<bool, Fault> {
    match word.value.trim().to_ascii_lowercase().as_str() {
        "required" | "true" => Ok(true),
        "" | "none" | "optional" | "false" => Ok(false),
        _ => Err(word.fault("must be required or none")),
    }
}

/// `httpchk GET /ping`, or the bare `/ping` of Interlock's guide, which HAProxy did not take.
fn health_path(word: &Word) -> Result<Option<String>, Fault> {
    let text = word.value.replace("\\r\\n", " ");
    let text = text.trim().strip_prefix("option ").unwrap_or(text.trim());
    let mut words = text.split_whitespace();
    let path = match words.next() {
        None => return Ok(None),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some("httpchk") => words.find(|word| word.starts_with('/')).unwrap_or("/").to_owned(),
        Some(other) if OTHER_CHECKS.contains(&other) => return Ok(None),
        Some(_) => {
            return Err(word.fault("must be `httpchk GET /path`, a path, or another check of HAProxy"));
        }
    };
    Ok(Some(path))
}

/// What has no effect, and still must not be nonsense.
fn checked(said: &Said) -> Result<(), Fault> {
    for key in [Key::Ssl, Key::SslOnly] {
        said.flag(key)?;
    }
    for key in [Key::SslCert, Key::SslPrivate] {
        if let Some(word) = said.one(key).filter(|word| word.value.contains(['/', '\\'])) {
            return Err(word.fault(
                "names a file of the host, which is not for a service to choose; leave it out: certificates are set in [proxy.tls]",
            ));
        }
    }
    if let Some(word) = said.one(Key::HealthCheckInterval) {
        let digits = word.value.trim().trim_end_matches("ms").trim_end_matches('s');
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(word.fault("must be a number of milliseconds"));
        }
    }
    Ok(())
}
