//! What the labels of one container ask for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::super::backend::{BackendTls, Manner};
use super::super::interlock::{self, Source};
use super::super::path::PathPrefix;
use super::super::rewrite::spoken_to;
use super::super::route::Scheme;
use super::{Allowed, Outsider, OutsiderFault, reach};

const ROUTE: &str = "drey.route.";
const ALIAS: &str = "drey.alias";

/// One host and path, and where it leads.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) path: PathPrefix,
    pub(super) strip: bool,
    pub(super) address: SocketAddr,
    pub(super) scheme: Scheme,
    pub(super) manner: Manner,
    pub(super) tls: Option<Arc<BackendTls>>,
}

/// A wish, before it is known where it leads.
struct Wanted {
    /// The label it comes from.
    key: String,
    host: String,
    path: PathPrefix,
    strip: bool,
    port: Option<String>,
}

/// All places of the container; one that cannot be is a fault, and the others stay.
///
/// # Errors
/// When something is wrong that all of them need.
pub(super) fn of(
    container: &Outsider,
    allowed: &Allowed,
) -> Result<(Vec<Place>, Vec<OutsiderFault>), OutsiderFault> {
    let fault = |key: &str, reason: String| OutsiderFault {
        container: container.name.clone(),
        key: key.to_owned(),
        reason,
    };
    let hostname = container.hostname.as_deref();
    let source = Source { labels: &container.labels, environment: &container.environment, hostname };
    let wish =
        interlock::read(source).map_err(|bad| fault(&bad.key, format!("{:?} {}", bad.value, bad.reason)))?;
    if wish.is_proxy {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut labels: BTreeMap<String, String> =
        wish.labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    labels.extend(
        container
            .labels
            .iter()
            .filter(|(name, _)| name.starts_with("drey."))
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let former = wish.hosts.into_iter().map(|host| host.host);
    let wanted = wanted(&labels, former).map_err(|(key, reason)| fault(&key, reason))?;
    if wanted.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (scheme, manner) =
        spoken_to(&container.name, &labels).map_err(|(key, reason)| fault(&key, reason))?;
    if scheme == Scheme::Tcp {
        return Err(fault(
            "labels.drey.scheme",
            "\"tcp\" is nothing for browsers; leave it out, or name http, https or h2c".to_owned(),
        ));
    }
    let tls = tls(&manner).map_err(|reason| fault("labels.drey.upstream", reason))?;
    let network = labels.get("drey.network").map(String::as_str);
    let (mut places, mut faults) = (Vec::new(), Vec::new());
    for wanted in wanted {
        let port = wanted.port.as_deref().or(labels.get("drey.port").map(String::as_str));
        let port = reach::port(container, port).map_err(|reason| fault("labels.drey.port", reason));
        let address = port.and_then(|port| {
            reach::address(container, network, port).map_err(|reason| fault("labels.drey.network", reason))
        });
        let host = allowed.host(&wanted.host).map_err(|reason| fault(&wanted.key, reason));
        match (host, address) {
            (Ok(host), Ok(address)) => places.push(Place {
                host,
                path: wanted.path,
                strip: wanted.strip,
                address,
                scheme,
                manner: manner.clone(),
                tls: tls.clone(),
            }),
            (Err(fault), _) | (_, Err(fault)) => faults.push(fault),
        }
    }
    Ok((places, faults))
}

/// The own host, the aliases, and the routes that are written out. A key and a reason where one cannot be read.
fn wanted(
    labels: &BTreeMap<String, String>,
    former: impl Iterator<Item = String>,
) -> Result<Vec<Wanted>, (String, String)> {
    let bad = |key: &str, reason: &str| (format!("labels.{key}"), reason.to_owned());
    let path = match labels.get("drey.path") {
        None => PathPrefix::default(),
        Some(text) => PathPrefix::parse(text).map_err(|error| bad("drey.path", error.0))?,
    };
    let strip = match labels.get("drey.strip-path").map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(bad("drey.strip-path", "must be true or false")),
    };
    let mut hosts: Vec<(String, String)> = Vec::new();
    hosts.extend(
        labels
            .get("drey.host")
            .filter(|host| !host.is_empty())
            .map(|host| ("drey.host".to_owned(), host.clone())),
    );
    if hosts.is_empty() {
        hosts.extend(former.map(|host| ("interlock.hostname".to_owned(), host)));
    }
    hosts.extend(numbered(labels, ALIAS).map(|(key, alias)| (key.to_owned(), alias.to_owned())));
    let own = hosts.into_iter().map(|(key, host)| Wanted {
        key: format!("labels.{key}"),
        host,
        path: path.clone(),
        strip,
        port: None,
    });
    let mut all: Vec<Wanted> = own.collect();
    for (key, text) in numbered(labels, ROUTE.trim_end_matches('.')).filter(|(key, _)| key.starts_with(ROUTE))
    {
        all.push(
            written(text)
                .map(|wanted| Wanted { key: format!("labels.{key}"), ..wanted })
                .map_err(|reason| bad(key, &reason))?,
        );
    }
    Ok(all)
}

/// `HOST[/PATH] [PORT] [strip]`.
fn written(text: &str) -> Result<Wanted, String> {
    const FORM: &str = "must be HOST[/PATH] [PORT] [strip], such as `api.example.com/v1 8080 strip`";
    let mut words = text.split_whitespace();
    let place = words.next().ok_or(FORM)?;
    let (host, path) = place.find('/').map_or((place, "/"), |at| place.split_at(at));
    let path = PathPrefix::parse(path).map_err(|error| format!("{path:?} {error}"))?;
    let mut wanted = Wanted { key: String::new(), host: host.to_owned(), path, strip: false, port: None };
    for word in words {
        match word {
            "strip" => wanted.strip = true,
            port if wanted.port.is_none() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                wanted.port = Some(port.to_owned());
            }
            _ => return Err(FORM.to_owned()),
        }
    }
    Ok(wanted)
}

/// Labels with a number behind them, and the one without, in the order of the numbers.
fn numbered<'a>(
    labels: &'a BTreeMap<String, String>,
    name: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let number = |key: &str| match key.strip_prefix(name)? {
        "" => Some(0),
        rest => rest.strip_prefix('.')?.parse::<u64>().ok().map(|number| number.saturating_add(1)),
    };
    let mut found: Vec<(u64, &str, &str)> =
        labels.iter().filter_map(|(key, value)| Some((number(key)?, key.as_str(), value.as_str()))).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, key, value)| (key, value))
}

/// Files of a commit and secrets of a repository are there for branches only.
fn tls(manner: &Manner) -> Result<Option<Arc<BackendTls>>, String> {
    let Some(labels) = &manner.tls else { return Ok(None) };
    if labels.authority.is_some() || labels.client_certificate.is_some() {
        return Err("`ca` and `client-cert` name files and secrets of a repository, which a container that drey did not start has not; leave them out".to_owned());
    }
    let (server_name, verify) = (labels.server_name.clone(), labels.verify);
    Ok(Some(Arc::new(BackendTls { authority: None, server_name, verify, identity: None })))
}
