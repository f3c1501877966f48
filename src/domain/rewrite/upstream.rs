//! The labels that say how a service is spoken to: `drey.upstream.*`, `drey.lb`, `drey.sticky`, `drey.timeout`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use super::error::RewriteError;
use super::labels::{bad_label, flag, label};
use super::services_of;
use crate::domain::backend::{Authority, Balance, Manner, TlsLabels};
use crate::domain::duration::parse_duration;
use crate::domain::route::Scheme;
use crate::domain::secrets::SecretName;

const CA: &str = "drey.upstream.ca";
const SERVER_NAME: &str = "drey.upstream.server-name";
const VERIFY: &str = "drey.upstream.verify";
const CLIENT_CERTIFICATE: &str = "drey.upstream.client-cert";
/// A label's value that begins so names a secret, not a file.
const SECRET: &str = "secret:";
/// Who waits longer for the head of an answer waits for a browser that is gone.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// What a service's labels say.
pub(super) fn manner(name: &str, service: &Value, scheme: Scheme) -> Result<Manner, RewriteError> {
    let balance = match label(service, "drey.lb") {
        None | Some("round-robin") => Balance::RoundRobin,
        Some("least-connections") => Balance::LeastConnections,
        Some(other) => {
            return Err(bad_label(name, "drey.lb", other, "must be round-robin or least-connections"));
        }
    };
    let timeout = label(service, "drey.timeout").map(|text| {
        parse_duration(text)
            .ok()
            .filter(|timeout| (1..=LONGEST_TIMEOUT.as_secs()).contains(&timeout.as_secs()))
            .ok_or_else(|| bad_label(name, "drey.timeout", text, "must be a time such as 90s, up to an hour"))
    });
    Ok(Manner {
        tls: tls(name, service, scheme)?,
        balance,
        sticky: flag(name, service, "drey.sticky")?.unwrap_or(false),
        timeout_seconds: timeout.transpose()?.map(|timeout| timeout.as_secs()),
    })
}

fn tls(name: &str, service: &Value, scheme: Scheme) -> Result<Option<TlsLabels>, RewriteError> {
    let given = [CA, SERVER_NAME, VERIFY, CLIENT_CERTIFICATE];
    let Some((first, value)) = given.iter().find_map(|key| Some((*key, label(service, key)?))) else {
        return Ok(None);
    };
    if scheme != Scheme::Https {
        let reason = "counts for TLS only: put drey.scheme: https on the service, or leave it out";
        return Err(bad_label(name, first, value, reason));
    }
    let authority = label(service, CA).map(|text| authority(name, text)).transpose()?;
    let server_name = label(service, SERVER_NAME).map(|text| server_name(name, text)).transpose()?;
    let verify = flag(name, service, VERIFY)?;
    if verify == Some(false) && authority.is_some() {
        let reason = "although drey.upstream.ca says whom to trust: leave one of the two out";
        return Err(bad_label(name, VERIFY, "false", reason));
    }
    let verify = verify.unwrap_or(authority.is_some() || server_name.is_some());
    let server_name = match server_name {
        None if verify && !is_host(name) => {
            let reason = "cannot be verified by the service's own name: set drey.upstream.server-name";
            return Err(bad_label(name, first, value, reason));
        }
        None if verify => Some(name.to_ascii_lowercase()),
        given => given,
    };
    let client_certificate = label(service, CLIENT_CERTIFICATE).map(|text| {
        let reason = "must be the name of a secret: drey secret set REPO NAME";
        secret(text).ok_or_else(|| bad_label(name, CLIENT_CERTIFICATE, text, reason))
    });
    let client_certificate = client_certificate.transpose()?;
    Ok(Some(TlsLabels { authority, server_name, verify, client_certificate }))
}

fn authority(name: &str, text: &str) -> Result<Authority, RewriteError> {
    if text.starts_with(SECRET) {
        let reason = "must name a secret behind `secret:`";
        return secret(text).map(Authority::Secret).ok_or_else(|| bad_label(name, CA, text, reason));
    }
    let path = text.strip_prefix("./").unwrap_or(text);
    let is_inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !is_inside || path.contains(char::is_control) {
        let reason = "must be the path of a PEM file inside the repository, or secret:NAME";
        return Err(bad_label(name, CA, text, reason));
    }
    Ok(Authority::File { path: path.to_owned(), pem: String::new() })
}

fn secret(text: &str) -> Option<SecretName> {
    SecretName::parse(text.strip_prefix(SECRET).unwrap_or(text)).ok()
}

fn server_name(name: &str, text: &str) -> Result<String, RewriteError> {
    if text.parse::<IpAddr>().is_ok() || is_host(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(bad_label(name, SERVER_NAME, text, "must be a host name or an address, as the certificate has it"))
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Paths inside the checkout of what the labels `drey.upstream.ca` name.
pub fn authority_paths<'a>(manners: impl Iterator<Item = &'a Manner>) -> BTreeSet<String> {
    let path = |manner: &Manner| match manner.tls.as_ref()?.authority.as_ref()? {
        Authority::File { path, .. } => Some(path.clone()),
        Authority::Secret(_) => None,
    };
    manners.filter_map(path).collect()
}

/// Secrets that the labels of a document name; what is no name is told when the routes are made.
pub fn needed_secrets(document: &Value) -> BTreeSet<SecretName> {
    services_of(document)
        .flat_map(|(_, service)| {
            let authority = label(service, CA).filter(|text| text.starts_with(SECRET));
            [authority, label(service, CLIENT_CERTIFICATE)]
        })
        .filter_map(|text| secret(text?))
        .collect()
}

/// # Errors
/// When a label `drey.upstream.ca` names what is not among `files`, or no certificate.
pub fn check_authorities<'a>(
    services: impl Iterator<Item = (&'a str, &'a Manner)>,
    files: &BTreeMap<String, String>,
) -> Result<(), RewriteError> {
    for (service, manner) in services {
        with_authority(service, manner, files)?;
    }
    Ok(())
}

/// The same with the text of the file that it names.
pub(super) fn with_authority(
    service: &str,
    manner: &Manner,
    files: &BTreeMap<String, String>,
) -> Result<Manner, RewriteError> {
    let mut manner = manner.clone();
    let authority = manner.tls.as_mut().and_then(|tls| tls.authority.as_mut());
    if let Some(Authority::File { path, pem }) = authority {
        let refused =
            |reason| RewriteError::Authority { service: service.to_owned(), path: path.clone(), reason };
        let text =
            files.get(path.as_str()).ok_or_else(|| refused("is no file of the commit that can be read"))?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(refused("holds no certificate in PEM form"));
        }
        text.clone_into(pem);
    }
    Ok(manner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, labels: &Value) -> Result<Manner, String> {
        let scheme = if labels.get("drey.scheme").is_some_and(|it| it == "https") {
            Scheme::Https
        } else {
            Scheme::Http
        };
        manner(name, &json!({ "labels": labels }), scheme).map_err(|error| error.to_string())
    }

    #[test]
    fn without_labels_nothing_is_unusual() {
        assert!(read("web", &json!({})).unwrap().is_usual());
        assert!(read("web", &json!({"drey.scheme": "https"})).unwrap().is_usual());
    }

    #[test]
    fn verification_follows_from_what_there_is_to_verify_by() {
        let tls = |more: &Value| {
            let mut labels = json!({"drey.scheme": "https"});
            labels.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read("web", &labels).map(|manner| manner.tls.unwrap())
        };
        let by_file = tls(&json!({"drey.upstream.ca": "./certs/ca.pem"})).unwrap();
        assert!(by_file.verify && by_file.server_name.as_deref() == Some("web"));
        let file = Authority::File { path: "certs/ca.pem".to_owned(), pem: String::new() };
        assert_eq!(by_file.authority, Some(file));
        let by_name = tls(&json!({"drey.upstream.server-name": "App.Internal"})).unwrap();
        assert!(by_name.verify && by_name.server_name.as_deref() == Some("app.internal"));
        let sni = tls(&json!({"drey.upstream.server-name": "a.b", "drey.upstream.verify": "false"})).unwrap();
        assert!(!sni.verify && sni.server_name.is_some());
        let shown = tls(&json!({"drey.upstream.client-cert": "client"})).unwrap();
        assert!(!shown.verify && shown.client_certificate.is_some());
        let secret = tls(&json!({"drey.upstream.ca": "secret:ca.pem"})).unwrap();
        assert!(matches!(secret.authority, Some(Authority::Secret(name)) if name.as_str() == "ca.pem"));
    }

    #[test]
    fn what_is_no_good_is_told_with_its_key_and_the_way_out() {
        let https = |key: &str, value: &str| {
            read("web", &json!({"drey.scheme": "https", key: value})).expect_err(key)
        };
        for (key, value, told) in [
            (CA, "/etc/ssl/ca.pem", "inside the repository"),
            (CA, "../ca.pem", "inside the repository"),
            (CA, "secret:", "behind `secret:`"),
            (SERVER_NAME, "a b", "host name"),
            (VERIFY, "yes", "true or false"),
            (CLIENT_CERTIFICATE, "a/b.pem", "name of a secret"),
            ("drey.lb", "random", "round-robin"),
            ("drey.sticky", "1", "true or false"),
            ("drey.timeout", "0s", "such as 90s"),
            ("drey.timeout", "2h", "up to an hour"),
        ] {
            let text = https(key, value);
            assert!(
                text.starts_with(&format!("services.web.labels.{key}: ")) && text.contains(told),
                "{text}"
            );
        }
        assert!(read("web", &json!({CA: "ca.pem"})).unwrap_err().contains("drey.scheme: https"));
        let both = json!({"drey.scheme": "https", CA: "ca.pem", VERIFY: "false"});
        assert!(read("web", &both).unwrap_err().contains("leave one of the two out"));
        let unnamed = json!({"drey.scheme": "https", CA: "ca.pem"});
        assert!(read("web_1", &unnamed).unwrap_err().contains("set drey.upstream.server-name"));
    }

    #[test]
    fn secrets_and_files_that_labels_name_are_found() {
        let document = json!({"services": {
            "a": {"labels": {CA: "secret:ca", CLIENT_CERTIFICATE: "client"}},
            "b": {"labels": {CA: "certs/ca.pem", CLIENT_CERTIFICATE: "no name"}},
        }});
        let names: Vec<String> = needed_secrets(&document).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["ca", "client"]);
        let manner = read("b", &json!({"drey.scheme": "https", CA: "certs/ca.pem"})).unwrap();
        let files = |text: &str| BTreeMap::from([("certs/ca.pem".to_owned(), text.to_owned())]);
        let filled = with_authority("b", &manner, &files("-----BEGIN CERTIFICATE-----")).unwrap();
        assert!(
            matches!(filled.tls.unwrap().authority, Some(Authority::File { pem, .. }) if !pem.is_empty())
        );
        let told = with_authority("b", &manner, &files("key")).unwrap_err();
        assert!(told.to_string().contains("holds no certificate"), "{told}");
        assert!(with_authority("b", &manner, &BTreeMap::new()).is_err());
    }
}
