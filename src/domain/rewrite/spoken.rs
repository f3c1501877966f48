//! The document with all labels in drey's own words, and who asks for which of the former names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::RewriteError;
use super::labels::label;
use super::{services_mut, services_of};
use crate::domain::interlock::{self, ForeignHost, Source};

/// Labels that other words were found for are among the service's labels; what stood there already stays.
pub(super) struct Spoken {
    pub(super) document: Value,
    /// Service → the names it had, those only that have some.
    pub(super) hosts: BTreeMap<String, Vec<ForeignHost>>,
}

impl Spoken {
    /// A proxy of Interlock's is not in it: it gets no address.
    pub(super) fn read(document: &Value) -> Result<Self, RewriteError> {
        let mut spoken = Self { document: document.clone(), hosts: BTreeMap::new() };
        let mut proxies = Vec::new();
        for (name, service) in services_mut(&mut spoken.document) {
            let (labels, environment) = (texts(service, "labels"), texts(service, "environment"));
            let hostname = service.get("hostname").and_then(Value::as_str);
            let source = Source { labels: &labels, environment: &environment, hostname };
            let wish = interlock::read(source)
                .map_err(|fault| RewriteError::Foreign { service: name.clone(), fault })?;
            if wish.is_proxy {
                proxies.push(name.clone());
                continue;
            }
            for (label, value) in wish.labels.into_iter().filter(|(label, _)| !labels.contains_key(*label)) {
                let value = if label == "drey.network" { joined(service, &value) } else { Some(value) };
                if let Some(value) = value {
                    put(service, label, value);
                }
            }
            if !wish.hosts.is_empty() {
                spoken.hosts.insert(name.clone(), wish.hosts);
            }
        }
        if let Some(services) = spoken.document.get_mut("services").and_then(Value::as_object_mut) {
            services.retain(|name, _| !proxies.contains(name));
        }
        Ok(spoken)
    }

    /// Who may be the primary: those that were routed before, where there are some, else all; and of them those that have
    /// the whole of a name, where there are some.
    pub(super) fn candidates(&self) -> Vec<&str> {
        let was_routed = |name: &str| self.hosts.is_empty() || self.hosts.contains_key(name);
        let services: Vec<_> = services_of(&self.document).filter(|(name, _)| was_routed(name)).collect();
        let whole = services.iter().filter(|(_, service)| label(service, "drey.path").is_none());
        let whole: Vec<&str> = whole.map(|(name, _)| name.as_str()).collect();
        if whole.is_empty() { services.into_iter().map(|(name, _)| name.as_str()).collect() } else { whole }
    }
}

/// The key of the network that Interlock was told: by the engine's name, which Compose puts together of project and key.
/// None where the service has not joined it: networks are the branch's own.
fn joined(service: &Value, network: &str) -> Option<String> {
    let networks = service.get("networks").and_then(Value::as_object)?;
    let is_it = |key: &&String| *key == network || network.ends_with(&format!("_{key}"));
    let exact = networks.keys().find(|key| *key == network);
    exact.or_else(|| networks.keys().find(is_it)).cloned()
}

fn put(service: &mut Value, label: &str, value: String) {
    let Some(service) = service.as_object_mut() else { return };
    let labels = service.entry("labels").or_insert_with(|| Value::Object(Default::default()));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(label.to_owned(), Value::String(value));
    }
}

/// Compose's own form of both: a map of texts, here and there a number or nothing.
fn texts(service: &Value, key: &str) -> BTreeMap<String, String> {
    let entries = service.get(key).and_then(Value::as_object).into_iter().flatten();
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.replace("$$", "$")),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    entries.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}
