//! GitLab: REST API v4. <https://docs.gitlab.com/api/commits/>, `/notes`

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Answer, Call, Client, part};
use super::comments::{self, Comments, PER_PAGE};
use crate::domain::report::{CONTEXT, CommentReport, Marker, StatusReport, StatusState};
use crate::ports::{ForgeApi, ForgeResult};

const STATUSES: &str = "the scope `api`, and the role Developer (Maintainer where the branch is protected)";
const COMMENTS: &str = "the scope `api`, and the role Reporter";

/// A project at GitLab.
pub(super) struct GitLab {
    client: Client,
    account: String,
    project: String,
    token: String,
}

impl GitLab {
    pub(super) fn new(client: Client, project: &str, token: String) -> Self {
        let account = format!("{}/{project}", client.authority());
        Self { client, account, project: format!("/projects/{}", part(project)), token }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> ForgeResult<Answer> {
        let path = format!("{}{path}", self.project);
        let headers = vec![("private-token", self.token.clone())];
        self.client.call(Call { method, path, headers, body }).await
    }
}

#[async_trait]
impl ForgeApi for GitLab {
    fn account(&self) -> &str {
        &self.account
    }

    async fn set_status(&self, report: &StatusReport) -> ForgeResult<()> {
        let state = state(report.state);
        let body = json!({
            "state": state, "name": CONTEXT, "description": report.description, "target_url": report.url,
        });
        let answer = self.ask(Method::POST, &format!("/statuses/{}", report.commit), Some(&body)).await?;
        if is_there_already(&answer, state) {
            return Ok(());
        }
        answer.taken(STATUSES).map(drop)
    }

    async fn set_comment(
        &self,
        report: &CommentReport,
        marker: &Marker,
        known: Option<&str>,
    ) -> ForgeResult<String> {
        comments::set(self, report, marker, known).await
    }
}

#[async_trait]
impl Comments for GitLab {
    fn needs(&self) -> &'static str {
        COMMENTS
    }

    async fn page(&self, pull: u64, page: usize) -> ForgeResult<Value> {
        let order = "sort=asc&order_by=created_at";
        let path = format!("/merge_requests/{pull}/notes?{order}&per_page={PER_PAGE}&page={page}");
        Ok(self.ask(Method::GET, &path, None).await?.taken(COMMENTS)?.body)
    }

    async fn make(&self, pull: u64, text: &str) -> ForgeResult<Answer> {
        let path = format!("/merge_requests/{pull}/notes");
        self.ask(Method::POST, &path, Some(&json!({ "body": text }))).await
    }

    async fn edit(&self, pull: u64, id: &str, text: &str) -> ForgeResult<Answer> {
        let path = format!("/merge_requests/{pull}/notes/{}", part(id));
        self.ask(Method::PUT, &path, Some(&json!({ "body": text }))).await
    }
}

const fn state(state: StatusState) -> &'static str {
    match state {
        StatusState::Pending => "pending",
        StatusState::Running => "running",
        StatusState::Success => "success",
        StatusState::Failure => "failed",
        StatusState::Cancelled => "canceled",
    }
}

/// GitLab refuses a status that is there already, and one from running back to pending, which is as open.
/// <https://gitlab.com/gitlab-org/gitlab-foss/-/issues/25807>
fn is_there_already(answer: &Answer, wanted: &str) -> bool {
    let said = answer.body["message"].as_str().unwrap_or_default();
    let Some((_, from)) = said.split_once("Cannot transition status via ") else { return false };
    let Some((_, from)) = from.split_once("from :") else { return false };
    let from: String = from.chars().take_while(char::is_ascii_alphabetic).collect();
    let are_open = wanted == "pending" && from == "running";
    answer.status == StatusCode::BAD_REQUEST && (from == wanted || are_open)
}
