//! Images: facts, pulls, removal.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::credentials::{RegistryCredential, for_reference, registry_of};
use super::{CALL_LIMIT, REMOVE_LIMIT, call, checked_name, error, limited};
use crate::domain::observed::ImageFacts;
use crate::ports::{LogLine, LogSink, PortError, PortResult, is_no_room};

/// A pull that says nothing for this long is taken for dead.
const PULL_SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// `None` when the engine has no such image.
pub(super) async fn facts(client: &Docker, reference: &str) -> PortResult<Option<ImageFacts>> {
    let reference = checked_name("image", reference)?;
    match call(&format!("image {reference}"), CALL_LIMIT, client.inspect_image(reference)).await {
        Ok(inspected) => Ok(Some(facts_of(inspected))),
        Err(PortError::NotFound(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The caller holds the limit over the whole pull.
pub(super) async fn pull(
    client: &Docker,
    registries: &[RegistryCredential],
    reference: &str,
    log: &dyn LogSink,
) -> PortResult<()> {
    let full = with_tag(checked_name("image", reference)?);
    let options = CreateImageOptionsBuilder::new().from_image(&full).build();
    let credentials = for_reference(registries, reference);
    let with_credentials = credentials.is_some();
    let client = client.clone().with_timeout(PULL_SILENCE_LIMIT);
    let mut progress = Box::pin(client.create_image(Some(options), None, credentials));
    let mut last = String::new();
    let what = format!("pull of {reference}");
    loop {
        let next = limited(&what, PULL_SILENCE_LIMIT, async {
            progress.next().await.transpose().map_err(|e| pull_error(reference, with_credentials, e))
        });
        let Some(step) = next.await? else { return Ok(()) };
        if let Some(text) = progress_line(step).filter(|text| *text != last) {
            log.line(LogLine { source: "drey".to_owned(), text: format!("pull {reference}: {text}") });
            last = text;
        }
    }
}

/// Gives the image its second name and takes the first away.
pub(super) async fn rename(client: &Docker, from: &str, to: &str) -> PortResult<()> {
    let (from, to) = (checked_name("image", from)?, with_tag(checked_name("image", to)?));
    let (repository, tag) = to.rsplit_once(':').unwrap_or((&to, "latest"));
    let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
    match call(&format!("image {from}"), CALL_LIMIT, client.tag_image(from, Some(options))).await {
        // Somebody tidied up between the two: built once more, from the cache.
        Err(PortError::NotFound(text)) => return Err(PortError::Transient(text)),
        other => other?,
    }
    remove(client, from).await
}

/// Untags; the layers go with the last tag. 409 is the engine's "somebody uses it".
pub(super) async fn remove(client: &Docker, reference: &str) -> PortResult<()> {
    let reference = checked_name("image", reference)?;
    let removal = client.remove_image(reference, None::<RemoveImageOptions>, None);
    match tokio::time::timeout(REMOVE_LIMIT, removal).await {
        Ok(Ok(_removed)) => Ok(()),
        Ok(Err(failure)) if matches!(error::code(&failure), Some(404 | 409)) => Ok(()),
        Ok(Err(failure)) => Err(error::map(&format!("image {reference}"), failure)),
        Err(_elapsed) => {
            Err(PortError::Transient(format!("image {reference}: the engine gave no answer to its removal")))
        }
    }
}

fn facts_of(inspected: ImageInspect) -> ImageFacts {
    let config = inspected.config.unwrap_or_default();
    let mut digests = inspected.repo_digests.unwrap_or_default();
    digests.sort();
    let mut exposed_ports: Vec<u16> =
        config.exposed_ports.unwrap_or_default().iter().filter_map(|port| tcp_port(port)).collect();
    exposed_ports.sort_unstable();
    exposed_ports.dedup();
    let mut volumes = config.volumes.unwrap_or_default();
    volumes.sort();
    let test = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
    ImageFacts {
        id: inspected.id.unwrap_or_default(),
        digests,
        size_bytes: inspected.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        exposed_ports,
        volumes,
        has_health_check: test.first().is_some_and(|kind| kind != "NONE"),
    }
}

/// `8080/tcp` or `8080`; UDP and SCTP are nothing a browser can open.
fn tcp_port(text: &str) -> Option<u16> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    port.parse().ok().filter(|_| protocol == "tcp")
}

/// Without a tag the engine would pull all of them.
fn with_tag(reference: &str) -> String {
    let last_part = reference.rsplit('/').next().unwrap_or(reference);
    if last_part.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

/// Steps, not the moving bars.
fn progress_line(step: CreateImageInfo) -> Option<String> {
    let moves = step.progress_detail.is_some_and(|detail| detail.current.is_some());
    let status =
        step.status.filter(|status| !moves && status != "Waiting" && status != "Verifying Checksum")?;
    Some(match step.id {
        Some(id) => format!("{id}: {status}"),
        None => status,
    })
}

/// The engine puts the registry's answer into its own text and a code of its choice: the text decides.
fn pull_error(reference: &str, with_credentials: bool, failure: EngineError) -> PortError {
    let what = format!("image {reference} cannot be pulled");
    let (EngineError::DockerStreamError { error: message }
    | EngineError::DockerResponseServerError { message, .. }) = failure
    else {
        return error::map(&what, failure);
    };
    let text = message.to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if is_no_room(&text) {
        return PortError::NoRoom(format!("no room for the image: {what}: {message}"));
    }
    let registry = registry_of(reference);
    if is(&[
        "unauthorized",
        "authentication required",
        "access denied",
        "access to the resource is denied",
        "forbidden",
        "no basic auth",
    ]) {
        let way_out = if with_credentials {
            format!("check user and password of the [[registry]] whose host is \"{registry}\"")
        } else {
            format!("if it is private, add a [[registry]] with host = \"{registry}\" to drey.toml")
        };
        return PortError::Permanent(format!("{what}: {message}; {way_out}"));
    }
    if is(&[
        "manifest unknown",
        "not found",
        "does not exist",
        "no matching manifest",
        "invalid reference",
        "name unknown",
    ]) && !is(&["lookup ", "no such host"])
    {
        return PortError::Permanent(format!(
            "{what}: {message}; check its name and tag, and for a private one the [[registry]] with host = \"{registry}\""
        ));
    }
    PortError::Transient(format!("{what}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(message: &str) -> PortError {
        let failure = EngineError::DockerStreamError { error: message.to_owned() };
        pull_error("registry.example.org/app:1", false, failure)
    }

    #[test]
    fn facts_hold_what_routing_needs() {
        let answer = json!({ "Id": "sha256:00", "Size": 5, "Config": {
            "ExposedPorts": { "8080/tcp": {}, "53/udp": {}, "80/tcp": {} },
            "Volumes": { "/var/lib/b": {}, "/a": {} },
            "Healthcheck": { "Test": ["CMD", "true"] }
        } });
        let facts = facts_of(serde_json::from_value(answer).unwrap());
        assert_eq!(facts.exposed_ports, [80, 8080]);
        assert_eq!(facts.volumes, ["/a", "/var/lib/b"]);
        assert!(facts.has_health_check);
        assert_eq!(facts.size_bytes, 5);
        let answer = json!({ "Id": "x", "Config": { "Healthcheck": { "Test": ["NONE"] } } });
        assert!(!facts_of(serde_json::from_value(answer).unwrap()).has_health_check);
    }

    #[test]
    fn one_tag_is_pulled_not_all() {
        assert_eq!(with_tag("redis"), "redis:latest");
        assert_eq!(with_tag("localhost:5000/redis"), "localhost:5000/redis:latest");
        assert_eq!(with_tag("localhost:5000/redis:7"), "localhost:5000/redis:7");
        assert_eq!(with_tag("redis@sha256:00"), "redis@sha256:00");
    }

    #[test]
    fn pull_errors_tell_the_way_out() {
        for denied in
            ["unauthorized: authentication required", "pull access denied for app, repository does not exist"]
        {
            let error = refused(denied);
            assert!(matches!(error, PortError::Permanent(_)), "{error}");
            assert!(
                error.to_string().contains("[[registry]] with host = \"registry.example.org\""),
                "{error}"
            );
        }
        assert!(matches!(refused("manifest for app:1 not found: manifest unknown"), PortError::Permanent(_)));
        for network in [
            "Get \"https://registry.example.org/v2/\": dial tcp: lookup registry.example.org: no such host",
            "net/http: TLS handshake timeout",
            "received unexpected HTTP status: 503 Service Unavailable",
        ] {
            assert!(refused(network).is_transient(), "{network}");
        }
    }

    #[test]
    fn moving_bars_stay_out_of_the_log() {
        let step = |value: serde_json::Value| progress_line(serde_json::from_value(value).unwrap());
        assert_eq!(
            step(
                json!({ "status": "Downloading", "id": "ab", "progressDetail": { "current": 1, "total": 2 } })
            ),
            None
        );
        assert_eq!(
            step(json!({ "status": "Pull complete", "id": "ab", "progressDetail": {} })),
            Some("ab: Pull complete".to_owned())
        );
    }
}
