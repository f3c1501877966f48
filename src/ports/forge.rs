//! What drey tells a forge: one object for each repository that has a token.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::domain::report::{CommentReport, DeploymentReport, Marker, StatusReport};
use crate::domain::time::Timestamp;

/// A project at a forge. Everything may be sent twice: it ends the same.
#[async_trait]
pub trait ForgeApi: Send + Sync {
    /// Host and project: what shares it is sent one after the other.
    fn account(&self) -> &str;
    /// Sets the status of a commit.
    async fn set_status(&self, report: &StatusReport) -> ForgeResult<()>;
    /// Whether it knows deployments.
    fn has_deployments(&self) -> bool {
        false
    }
    /// Says how far a deployment has come, and makes it where it is not there: gives its id. `None`: there is nothing to
    /// say of one that never was, or this forge knows none.
    async fn set_deployment(
        &self,
        _report: &DeploymentReport,
        _known: Option<&str>,
    ) -> ForgeResult<Option<String>> {
        Ok(None)
    }
    /// Edits the comment, and makes it where there is none with this marker: gives its id.
    async fn set_comment(
        &self,
        report: &CommentReport,
        marker: &Marker,
        known: Option<&str>,
    ) -> ForgeResult<String>;
}

/// Why a forge did not take something. No text of it holds a token.
#[derive(Debug, Error)]
pub enum ForgeError {
    /// May well work when tried again.
    #[error("{0}")]
    Passing(String),
    /// Too much was asked in too short a time: nothing more goes to this account before then.
    #[error("{reason}")]
    Limited { until: Until, reason: String },
    /// The forge does not accept the token: nothing of this account will work.
    #[error("{0}")]
    Unauthorized(String),
    /// It refuses this one; says what to do.
    #[error("{0}")]
    Refused(String),
    /// What has this id is not there any more: it is to be made anew.
    #[error("it is not there any more")]
    Gone,
}

/// When a limit ends, as the forge tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    At(Timestamp),
    After(Duration),
}

pub type ForgeResult<T> = Result<T, ForgeError>;
