//! Why a document cannot become a stack.

use thiserror::Error;

use crate::domain::interlock::Fault;
use crate::domain::settings::SettingFault;

/// Names the key, the reason and the way out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RewriteError {
    #[error(
        "no service to route: none is named web, app, frontend or www, and {reason}; candidates: {candidates}; \
         put the label `drey.primary: \"true\"` on the one that visitors should see"
    )]
    NoPrimary { reason: String, candidates: String },
    #[error("services.{0}: the label drey.primary is on more than one service; leave it on one")]
    SeveralPrimaries(String),
    #[error(
        "services.{0}: no port is known; write `ports` or `expose`, or put the label `drey.port` on the service"
    )]
    NoPort(String),
    #[error("services.{0}.network_mode: what is in no network cannot be reached; leave `network_mode` out")]
    NoNetwork(String),
    #[error("services.{service}.labels.{label}: {value:?} {reason}")]
    Label { service: String, label: String, value: String, reason: &'static str },
    #[error("services.{service}.{fault}")]
    Foreign { service: String, fault: Fault },
    #[error(
        "services.{service}.labels.drey.network: {network:?} is none of its networks; it has joined: {candidates}"
    )]
    Network { service: String, network: String, candidates: String },
    #[error(
        "services.{two}.labels.drey.host: {host} is the host of {one} too; give one of them another, or a path (drey.path)"
    )]
    SameHost { one: String, two: String, host: String },
    #[error("services.{service}.depends_on: {needed} belongs to a profile that is not started")]
    InactiveDependency { service: String, needed: String },
    #[error("services.{service}.labels.drey.upstream.ca: {path:?} {reason}")]
    Authority { service: String, path: String, reason: &'static str },
    #[error("{key}: {path} is not in the commit")]
    NotInCommit { key: String, path: String },
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<SettingFault>),
}

impl RewriteError {
    /// The key that the text begins with.
    pub fn key(&self) -> String {
        match self {
            Self::NoPrimary { .. } => "services".to_owned(),
            Self::SeveralPrimaries(service) | Self::NoPort(service) => format!("services.{service}"),
            Self::NoNetwork(service) => format!("services.{service}.network_mode"),
            Self::Label { service, label, .. } => format!("services.{service}.labels.{label}"),
            Self::Authority { service, .. } => format!("services.{service}.labels.drey.upstream.ca"),
            Self::Foreign { service, fault } => format!("services.{service}.{}", fault.key),
            Self::Network { service, .. } => format!("services.{service}.labels.drey.network"),
            Self::SameHost { two, .. } => format!("services.{two}.labels.drey.host"),
            Self::InactiveDependency { service, .. } => format!("services.{service}.depends_on"),
            Self::NotInCommit { key, .. } => key.clone(),
            Self::Settings(faults) => faults.first().map(|fault| fault.key.clone()).unwrap_or_default(),
        }
    }
}
