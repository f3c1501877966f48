//! `INTERLOCK_DATA`: the JSON of Interlock's first version.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Fault;
use super::key::Key;
use super::said::Said;

const VARIABLE: &str = "INTERLOCK_DATA";
const PLACE: &str = "environment.INTERLOCK_DATA";

/// Its keys, and the labels that say the same. `warm` was never more than a plan.
const KEYS: [(&str, Key); 15] = [
    ("hostname", Key::Hostname),
    ("domain", Key::Domain),
    ("alias_domains", Key::AliasDomain),
    ("port", Key::Port),
    ("check", Key::HealthCheck),
    ("check_interval", Key::HealthCheckInterval),
    ("backend_options", Key::BackendOption),
    ("ssl", Key::Ssl),
    ("ssl_certificate", Key::SslCert),
    ("ssl_certificate_key", Key::SslPrivate),
    ("ssl_only", Key::SslOnly),
    ("ssl_backend", Key::SslBackend),
    ("ssl_backend_tls_verify", Key::SslBackendTlsVerify),
    ("balance_algorithm", Key::BalanceAlgorithm),
    ("websocket_endpoints", Key::WebsocketEndpoint),
];

/// The name of a container that names none in its data is its own host name.
pub(super) fn read(environment: &BTreeMap<String, String>, hostname: Option<&str>) -> Result<Said, Fault> {
    let mut said = Said::default();
    let Some(text) = environment.get(VARIABLE) else { return Ok(said) };
    let fault = |reason| Fault { key: PLACE.to_owned(), value: text.clone(), reason };
    let Ok(Value::Object(data)) = serde_json::from_str::<Value>(text) else {
        return Err(fault(
            "must be a JSON object, such as {\"hostname\":\"shop\",\"domain\":\"example.com\"}",
        ));
    };
    for (name, key) in KEYS {
        for (number, value) in values(&data, name).enumerate() {
            let value =
                scalar(value).ok_or_else(|| fault("must have texts, numbers and lists of texts only"))?;
            said.put(key, u64::try_from(number).unwrap_or(u64::MAX), PLACE, value);
        }
    }
    if said.one(Key::Hostname).is_none()
        && let Some(hostname) = hostname
    {
        said.put(Key::Hostname, 0, "hostname", hostname.to_owned());
    }
    Ok(said)
}

fn values<'a>(data: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    let (one, list) = match data.get(name) {
        Some(Value::Array(list)) => (None, Some(list)),
        Some(Value::Null) | None => (None, None),
        Some(value) => (Some(value), None),
    };
    one.into_iter().chain(list.into_iter().flatten())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
