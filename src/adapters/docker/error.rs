//! bollard's errors as port errors: what may be tried again, what must be mended, what is not there.

use std::error::Error as _;

use bollard::errors::Error as EngineError;

use crate::ports::PortError;

/// `what` is the subject, for instance `network x`; the engine's own words follow it.
pub(super) fn map(what: &str, error: EngineError) -> PortError {
    match error {
        EngineError::DockerResponseServerError { status_code, message } => {
            status(what, status_code, &message)
        }
        EngineError::DockerStreamError { error } => PortError::Permanent(format!("{what}: {error}")),
        EngineError::DockerContainerWaitError { error, code } => {
            PortError::Permanent(format!("{what}: {error} (exit code {code})"))
        }
        EngineError::RequestTimeoutError => {
            PortError::Transient(format!("{what}: the engine did not answer in time"))
        }
        EngineError::SocketNotFoundError(path) => PortError::Transient(format!(
            "{what}: there is no socket at {path}; start the engine, or set engine.host"
        )),
        EngineError::IOError { .. }
        | EngineError::HyperResponseError { .. }
        | EngineError::HyperLegacyError { .. } => PortError::Transient(format!("{what}: {}", chain(&error))),
        EngineError::UnsupportedURISchemeError { .. }
        | EngineError::JsonDataError { .. }
        | EngineError::APIVersionParseError {}
        | EngineError::MissingSessionBuildkitError {}
        | EngineError::MissingVersionBuildkitError {}
        | EngineError::JsonSerdeError { .. }
        | EngineError::StrParseError { .. }
        | EngineError::StrFmtError { .. }
        | EngineError::HttpClientError { .. }
        | EngineError::URLEncodedError { .. }
        | EngineError::URLParseError { .. }
        | EngineError::InvalidURIError { .. }
        | EngineError::InvalidURIPartsError { .. }
        | EngineError::HttpHeaderNotFoundError(_)
        | EngineError::HttpHeaderToStrError { .. }
        | EngineError::Base64DecodeError { .. } => PortError::Permanent(format!("{what}: {}", chain(&error))),
    }
}

/// The status code of an answer, for callers that tell "already so" from a failure.
pub(super) fn code(error: &EngineError) -> Option<u16> {
    if let EngineError::DockerResponseServerError { status_code, .. } = error {
        return Some(*status_code);
    }
    None
}

/// 5xx: the engine (or a proxy before it) is in trouble, not the request. 409 comes while something else is at it.
fn status(what: &str, code: u16, message: &str) -> PortError {
    let text = format!("{what}: {}", if message.is_empty() { "no reason given" } else { message.trim() });
    match code {
        404 => PortError::NotFound(text),
        408 | 409 | 425 | 429 | 500..=599 => PortError::outside("the engine", text),
        _ => PortError::Permanent(text),
    }
}

/// hyper's own text says only "client error (Connect)": the reason is below it.
fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16) -> PortError {
        let message = "network x is in the way".to_owned();
        map("network x", EngineError::DockerResponseServerError { status_code, message })
    }

    #[test]
    fn status_codes_tell_whether_to_try_again() {
        assert!(matches!(answer(404), PortError::NotFound(_)));
        for busy in [409, 429, 500, 502, 503, 504] {
            assert!(answer(busy).is_transient(), "{busy}");
        }
        for final_code in [400, 401, 403] {
            assert!(matches!(answer(final_code), PortError::Permanent(_)), "{final_code}");
        }
        assert_eq!(answer(400).to_string(), "network x: network x is in the way");
    }

    #[test]
    fn a_refused_connection_keeps_its_reason() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = map("ping", EngineError::from(refused));
        assert!(error.is_transient());
        assert!(error.to_string().contains("refused"), "{error}");
    }
}
