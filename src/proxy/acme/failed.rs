//! Why an order comes to nothing, in words for the log.

use instant_acme::{Error, Problem};
use thiserror::Error as ThisError;

use crate::ports::PortError;
use crate::proxy::settings::ProxyError;

/// What an authority says that refuses a nonce, or does not know an account (RFC 8555, 6.7).
pub(super) const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why an order came to nothing.
#[derive(Debug, ThisError)]
pub(super) enum Failed {
    #[error("{}", spoken(.0))]
    Authority(#[from] Error),
    #[error("{0}")]
    Refused(String),
    #[error("the record cannot be set: {0}")]
    Record(#[from] PortError),
    #[error("the certificate cannot be made: {0}")]
    Made(#[from] rcgen::Error),
    #[error(transparent)]
    File(#[from] ProxyError),
    #[error("the daemon ends")]
    Ended,
}

impl Failed {
    /// The authority has forgotten the account, as one does that was set up anew.
    pub(super) fn is_unknown_account(&self) -> bool {
        matches!(self, Self::Authority(Error::Api(problem)) if is(problem, NO_ACCOUNT))
    }
}

/// Whether the authority names this kind of problem.
pub(super) fn is(problem: &Problem, kind: &str) -> bool {
    problem.r#type.as_deref() == Some(kind)
}

fn spoken(error: &Error) -> String {
    if let Error::Api(problem) = error { told(problem) } else { error.to_string() }
}

/// For the log: what the authority says, and its word for it.
pub(super) fn told(problem: &Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or("no reason given");
    match problem.r#type.as_deref() {
        Some(kind) => format!("{detail} ({})", kind.rsplit(':').next().unwrap_or(kind)),
        None => detail.to_owned(),
    }
}
