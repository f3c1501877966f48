//! The status of a commit as GitHub takes it, and Gitea and Forgejo, whose APIs are made after its.

use serde_json::{Value, json};

use crate::domain::report::{CONTEXT, StatusReport, StatusState};

/// Path below the project, and body.
pub(super) fn as_github(report: &StatusReport) -> (String, Value) {
    let state = match report.state {
        StatusState::Pending | StatusState::Running => "pending",
        StatusState::Success => "success",
        StatusState::Failure => "failure",
        StatusState::Cancelled => "error",
    };
    let body = json!({
        "state": state, "context": CONTEXT, "description": report.description, "target_url": report.url,
    });
    (format!("/statuses/{}", report.commit), body)
}
